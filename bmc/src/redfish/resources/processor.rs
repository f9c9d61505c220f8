//! `Processor`: one a socket.

use onprem_redfish::schema::{
    processor::{self, ProcessorType, ThrottleCause},
    resource,
};

use super::{
    With as _, enabled,
    sensor::{trouble, with_conditions},
};
use crate::{
    model::{Architecture, BitWidth, Part, Throttle},
    redfish::{
        resource::{Answer, Resource, View, answer},
        uri,
    },
};

/// `…/Processors/{ProcessorId}`
pub(crate) struct Processor;

impl Resource for Processor {
    fn uri(&self) -> &'static str {
        uri::PROCESSOR
    }

    fn kind(&self) -> &'static str {
        "Processor"
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        let [_, id] = ids else { return None };
        let mut all = view.system(ids)?.processors.iter();
        let it = all.find(|processor| &*processor.id == *id)?;
        let (architecture, instructions) = match (it.architecture, it.width) {
            (Architecture::X86, BitWidth::Bits32) => ("x86", "x86"),
            (Architecture::X86, BitWidth::Bits64) => ("x86", "x86-64"),
            (Architecture::Arm, BitWidth::Bits32) => ("ARM", "ARM-A32"),
            (Architecture::Arm, BitWidth::Bits64) => ("ARM", "ARM-A64"),
            (Architecture::RiscV, _) => ("RISC-V", "RV64"),
        };
        let known = it.architecture != Architecture::RiscV;
        let system = view.system(ids)?;
        let part = Part::System(system.id.clone());
        let slowed = system.tells_throttling.then(|| throttled(view, &part));
        let body = processor::Processor::new("", *id, it.name())
            .socket(&*it.socket)
            .processor_type(ProcessorType::Cpu)
            .processor_architecture(architecture)
            .with(
                known.then_some(instructions),
                processor::Processor::instruction_set,
            )
            .with(it.manufacturer.clone(), processor::Processor::manufacturer)
            .with(it.model.clone(), processor::Processor::model)
            .with(
                it.max_speed_mhz.map(i64::from),
                processor::Processor::max_speed_mhz,
            )
            .total_cores(it.cores.into())
            .total_threads(it.threads.into())
            .with(slowed, |body, causes: Vec<ThrottleCause>| {
                body.throttled(!causes.is_empty()).throttle_causes(causes)
            })
            .status(status(view, &part));
        Some(answer(body))
    }
}

/// What slows the processors of `part` down.
fn throttled(view: &View<'_>, part: &Part) -> Vec<ThrottleCause> {
    let all = view.snapshot.troubles(part);
    let mut causes = Vec::new();
    for slows in all.filter_map(|known| known.trouble.slows) {
        let cause = match slows {
            Throttle::Power => ThrottleCause::PowerLimit,
            Throttle::Heat => ThrottleCause::ThermalLimit,
            Throttle::Clock => ThrottleCause::ClockLimit,
        };
        if !causes.contains(&cause) {
            causes.push(cause);
        }
    }
    causes
}

/// How the processors are: as what slows them down says.
fn status(view: &View<'_>, part: &Part) -> resource::Status {
    let all = view.snapshot.troubles(part);
    let slow = all.filter(|known| known.trouble.slows.is_some());
    let slow: Vec<_> = slow.collect();
    let health = slow.iter().map(|known| known.trouble.health).max();
    let status = enabled(health.unwrap_or_default());
    with_conditions(status, slow.into_iter().map(trouble))
}

impl crate::model::Processor {
    fn name(&self) -> String {
        self.model.clone().unwrap_or_else(|| "Processor".to_owned())
    }
}

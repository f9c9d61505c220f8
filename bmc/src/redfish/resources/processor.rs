//! `Processor`: one a socket.

use onprem_redfish::schema::processor::{self, ProcessorType};

use super::{With as _, enabled};
use crate::{
    model::{Architecture, BitWidth, Health},
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
            .status(enabled(Health::Ok));
        Some(answer(body))
    }
}

impl crate::model::Processor {
    fn name(&self) -> String {
        self.model.clone().unwrap_or_else(|| "Processor".to_owned())
    }
}

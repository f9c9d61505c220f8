//! What asks the modem, and says what it said.

use std::{
    sync::{Arc, TryLockError},
    time::Duration,
};

use super::{
    ROUND, Shared,
    at::{At, Error, fields, first},
    lock, vendor,
};
use crate::{
    drivers::{Batch, Driver, good_for},
    model::{
        Cellular, Id, Quantity, Registration, Sample, SensorKind, SimState,
    },
};

/// The most access points that are shown.
const ACCESS_POINTS: usize = 8;
/// What is shown of a number.
const SHOWN: usize = 4;
/// How the modem says that there is no SIM (TS 27.007, section 9.2.1).
const NO_SIM: [&str; 3] = ["10", "13", "SIM not inserted"];

/// What asks the modem.
pub(super) struct Watch {
    name: String,
    id: Id,
    shared: Arc<Shared>,
    sensors: [Id; 3],
    show_numbers: bool,
    set_ethernet: bool,
    /// Whether that was tried: one that does not keep it would be started
    /// anew for ever.
    tried: bool,
    /// What does not change while it is there.
    known: Option<Cellular>,
}

impl Watch {
    pub(super) fn new(
        name: String,
        id: Id,
        shared: Arc<Shared>,
        sensors: [Id; 3],
        (show_numbers, set_ethernet): (bool, bool),
    ) -> Self {
        Self {
            name,
            id,
            shared,
            sensors,
            show_numbers,
            set_ethernet,
            tried: false,
            known: None,
        }
    }

    /// Asks everything.
    ///
    /// # Errors
    /// The modem is not there. What it does not know is nothing.
    fn ask(&mut self, at: &mut At) -> Result<Cellular, Error> {
        let known = match self.known.take() {
            Some(known) => known,
            None => self.meet(at)?,
        };
        let mut now = known.clone();
        now.sim = sim(at)?;
        if now.sim == SimState::Ready {
            let number = optional(at.ask("AT+ICCID"))?;
            let number = match number {
                None => optional(at.ask("AT+CCID"))?,
                some => some,
            };
            let number = number.and_then(|lines| {
                Some((*fields(lines.first()?).first()?).to_owned())
            });
            now.iccid = number.map(|it| self.shown(&it));
        }
        let signal = at.ask("AT+CSQ")?;
        let signal = fields(first("AT+CSQ", &signal)?);
        let signal = signal.first().and_then(|it| it.parse::<i32>().ok());
        let signal = signal.filter(|it| (0..=31).contains(it));
        now.dbm = signal.map(|it| 2 * it - 113);
        let lines = at.ask("AT+CREG?")?;
        // What comes by itself has no mode before the state.
        let state = lines.iter().find_map(|line| match fields(line)[..] {
            [_, state, ..] => state.parse().ok(),
            _ => None,
        });
        let state = state.ok_or_else(|| Error::Strange {
            command: "AT+CREG?".to_owned(),
            got: lines.join(", "),
        })?;
        now.registration = Registration::of(state);
        let operator = optional(at.ask("AT+COPS?"))?.unwrap_or_default();
        now.operator = operator.iter().find_map(|line| {
            let name = fields(line).get(2).copied()?.to_owned();
            (!name.is_empty()).then(|| name.into())
        });
        let points = optional(at.ask("AT+CGDCONT?"))?.unwrap_or_default();
        now.access_points = points
            .iter()
            .filter_map(|line| fields(line).get(2).copied().map(Into::into))
            .take(ACCESS_POINTS)
            .collect();
        self.known = Some(known);
        Ok(now)
    }

    /// Asks a modem that was not there before who it is.
    fn meet(&mut self, at: &mut At) -> Result<Cellular, Error> {
        at.greet()?;
        let model = at.ask("AT+GMM")?;
        let model = first("AT+GMM", &model)?.to_owned();
        let one = |lines: Option<Vec<String>>| lines?.into_iter().next();
        let firmware = one(optional(at.ask("AT+CGMR"))?);
        let imei = one(optional(at.ask("AT+CGSN"))?);
        let vendor = vendor::of(&model);
        *lock(&self.shared.vendor) = vendor;
        let mut met = Cellular {
            manufacturer: vendor.map(|it| it.name),
            model: Some(model.into()),
            firmware: firmware.map(Into::into),
            imei: imei.map(|it| self.shown(&it)),
            ..Cellular::default()
        };
        let Some(vendor) = vendor else { return Ok(met) };
        let Some(lines) = optional(at.ask(vendor.mode))? else {
            return Ok(met);
        };
        let (ethernet, set) = vendor.ethernet;
        let is = lines.iter().any(|it| fields(it).last() == Some(&ethernet));
        if !is && self.set_ethernet && !self.tried {
            self.tried = true;
            let refused = set.iter().find_map(|it| at.ask(it).err());
            let told = refused.map_or_else(|| at.tell(vendor.restart), Err);
            match told {
                Ok(()) => {
                    tracing::warn!(modem = %self.id, "made an Ethernet device");
                    return Err(Error::Silent {
                        command: vendor.restart.to_owned(),
                        within: Duration::ZERO,
                    });
                }
                Err(error) if error.is_answer() => {
                    tracing::warn!(modem = %self.id, %error, "not made one");
                }
                Err(error) => return Err(error),
            }
        } else if !is && self.set_ethernet {
            tracing::warn!(modem = %self.id, "still no Ethernet device");
        }
        met.data_mode = Some(if is { "Ethernet" } else { "Other" });
        Ok(met)
    }

    /// As much of a number as may be shown.
    fn shown(&self, number: &str) -> Arc<str> {
        if self.show_numbers {
            return number.into();
        }
        let digits = number.chars().count();
        let hidden = digits.saturating_sub(SHOWN);
        let end = number.chars().skip(hidden);
        std::iter::repeat_n('*', hidden).chain(end).collect::<String>().into()
    }

    fn batch(&self, now: &Cellular) -> Batch {
        let good_for = good_for(ROUND);
        let [signal, network, sim] = &self.sensors;
        let good = |id, kind, value| {
            Sample::good(id, Quantity::new(kind, value), good_for)
        };
        let share = |is| if is { 100.0 } else { 0.0 };
        let signal = match now.dbm {
            Some(dbm) => good(signal, SensorKind::Signal, f64::from(dbm)),
            None => Sample::failed(signal, "there is no signal"),
        };
        let registered = share(now.registration.is_registered());
        let network = good(network, SensorKind::Percent, registered);
        let sim = if now.sim == SimState::Unknown {
            let why = "the modem refuses `AT+CPIN?`: there may be a SIM or not";
            Sample::failed(sim, why)
        } else {
            let ready = share(now.sim == SimState::Ready);
            good(sim, SensorKind::Percent, ready)
        };
        Batch {
            samples: vec![signal, network, sim],
            modems: vec![(self.id.clone(), now.clone())],
            ..Batch::default()
        }
    }
}

impl Driver for Watch {
    fn name(&self) -> &str {
        &self.name
    }

    fn interval(&self) -> Duration {
        ROUND
    }

    fn poll(&mut self) -> Batch {
        let shared = Arc::clone(&self.shared);
        let mut at = match shared.at.try_lock() {
            Ok(at) => at,
            Err(TryLockError::Poisoned(at)) => at.into_inner(),
            // It is started anew.
            Err(TryLockError::WouldBlock) => return Batch::default(),
        };
        match self.ask(&mut at) {
            Ok(now) => self.batch(&now),
            Err(error) => {
                let reason = error.to_string();
                let failed = |id| Sample::failed(id, &reason);
                Batch {
                    samples: self.sensors.iter().map(failed).collect(),
                    modems: vec![(self.id.clone(), Cellular::default())],
                    ..Batch::default()
                }
            }
        }
    }
}

/// What a modem may refuse to say.
fn optional(
    said: Result<Vec<String>, Error>,
) -> Result<Option<Vec<String>>, Error> {
    match said {
        Ok(lines) => Ok(Some(lines)),
        Err(error) if error.is_answer() => Ok(None),
        Err(error) => Err(error),
    }
}

fn sim(at: &mut At) -> Result<SimState, Error> {
    match at.ask("AT+CPIN?") {
        Ok(lines) => Ok(match fields(first("AT+CPIN?", &lines)?)[..] {
            ["READY"] => SimState::Ready,
            ["NOT INSERTED" | "NOT READY"] => SimState::Absent,
            _ => SimState::Locked,
        }),
        Err(Error::Code { code, .. }) if NO_SIM.contains(&&*code) => {
            Ok(SimState::Absent)
        }
        Err(error) if error.is_answer() => Ok(SimState::Unknown),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{
        boards::Modems as _,
        bus::gpio::LineName,
        sim::{
            gpio::SimulatedGpio,
            modem::{Maker, Modem},
            serial::SimulatedSerial,
        },
    };

    type Far = Arc<Mutex<Modem>>;

    fn watched(maker: Maker, options: (bool, bool)) -> (Watch, Far) {
        let far = Arc::new(Mutex::new(Modem::new(maker)));
        let link = SimulatedSerial::new(Box::new(Arc::clone(&far)));
        let shared = Arc::new(Shared {
            at: Mutex::new(At::new(Box::new(link))),
            lines: Arc::new(SimulatedGpio::new(["GPIO26"])),
            power: Some(LineName::Named("GPIO26".to_owned())),
            vendor: Mutex::default(),
        });
        let sensors = ["s", "n", "m"].map(Into::into);
        let name = "modem".to_owned();
        (Watch::new(name, "modem".into(), shared, sensors, options), far)
    }

    #[test]
    fn each_maker_is_understood() {
        for (maker, name, model) in [
            (Maker::Quectel, "Quectel", "EC25"),
            (Maker::Telit, "Telit", "LE910C4-EU"),
            (Maker::Thales, "Thales", "PLS83-W"),
        ] {
            let (mut watch, far) = watched(maker, (false, false));
            let batch = watch.poll();
            let (_, now) = &batch.modems[0];
            assert_eq!(now.manufacturer, Some(name));
            assert_eq!(now.model.as_deref(), Some(model));
            assert_eq!(now.imei.as_deref(), Some("***********4567"));
            assert_eq!(now.iccid.as_deref(), Some("***************4567"));
            assert_eq!(now.operator.as_deref(), Some("Testnet, North"));
            assert_eq!(now.dbm, Some(-71));
            assert_eq!(now.registration, Registration::Home);
            assert_eq!(now.access_points.len(), 2);
            assert_eq!(now.data_mode, Some("Other"));
            assert_eq!(far.lock().unwrap().restarts, 0);
        }
    }

    #[test]
    fn a_sim_that_is_removed_and_a_network_that_is_lost_are_seen() {
        let (mut watch, far) = watched(Maker::Quectel, (true, false));
        assert_eq!(
            watch.poll().modems[0].1.imei.as_deref(),
            Some("867698041234567")
        );
        {
            let mut far = far.lock().unwrap();
            far.has_sim = false;
            (far.registration, far.signal) = (2, 99);
            far.say("+CPIN: NOT READY");
        }
        let batch = watch.poll();
        let now = &batch.modems[0].1;
        assert_eq!(now.sim, SimState::Absent);
        assert_eq!(now.registration, Registration::Searching);
        assert_eq!((now.dbm, &now.iccid, &now.operator), (None, &None, &None));
        far.lock().unwrap().silent = true;
        let batch = watch.poll();
        let reason = format!("{:?}", batch.samples);
        assert!(reason.contains("`AT+CPIN?` within 5000 ms"), "{reason}");
        let mut far = far.lock().unwrap();
        *far = Modem::new(Maker::Telit);
        drop(far);
        let (_, now) = &watch.poll().modems[0];
        assert_eq!(now.manufacturer, Some("Telit"));
    }

    #[test]
    fn the_data_mode_is_set_only_where_that_is_allowed() {
        for maker in [Maker::Quectel, Maker::Telit, Maker::Thales] {
            let (mut watch, far) = watched(maker, (false, true));
            watch.poll();
            assert_eq!(far.lock().unwrap().restarts, 1, "{maker:?}");
            let (_, now) = &watch.poll().modems[0];
            assert_eq!(now.data_mode, Some("Ethernet"));
            assert_eq!(far.lock().unwrap().restarts, 1);
        }
    }

    #[test]
    fn it_is_started_anew_by_a_command_or_by_its_power() {
        let (mut watch, far) = watched(Maker::Telit, (false, false));
        watch.poll();
        watch.shared.restart(&"modem".into(), false).unwrap();
        assert_eq!(far.lock().unwrap().restarts, 1);
        watch.shared.restart(&"modem".into(), true).unwrap();
    }
}

//! What drivers and tasks post beside readings: the state of systems and of
//! what belongs to them.

use std::{mem::discriminant, sync::Arc};

use chrono::{DateTime, Utc};

use super::{
    Boot, Cellular, Change, Contact, ControlState, Id, Model, NodeAgent, Part,
    PowerModels, PowerState, Quality, Shelves, Snapshot, Started, SwitchState,
    Trouble, Vitals, WatchdogState, trouble,
};

impl Model {
    /// Takes what a control bus says of the systems on it.
    pub fn post_contacts(&self, contacts: Vec<(Id, Contact)>) {
        if contacts.is_empty() {
            return;
        }
        self.write(|next| {
            let all = Arc::make_mut(&mut next.contacts);
            let mut changes = Vec::new();
            for (id, contact) in contacts {
                let quality = discriminant(&contact.quality);
                let before = all.insert(id.clone(), contact);
                let before = before.map_or(Quality::Good, |it| it.quality);
                if discriminant(&before) != quality {
                    changes.push(Change::Contact(id));
                }
            }
            changes
        });
    }

    /// Takes what modems say.
    pub fn post_modems(&self, modems: Vec<(Id, Cellular)>) {
        let known = self.snapshot();
        let new =
            |(id, now): &(Id, Cellular)| known.modems.get(id) != Some(now);
        if !modems.iter().any(new) {
            return;
        }
        self.write(|next| {
            Arc::make_mut(&mut next.modems).extend(modems);
            Vec::new()
        });
    }

    /// Takes the power models that a system can run in.
    pub fn post_power_models(&self, system: &Id, models: PowerModels) {
        if self.snapshot().power_models.get(system) == Some(&models) {
            return;
        }
        self.write(|next| {
            let all = Arc::make_mut(&mut next.power_models);
            all.insert(system.clone(), models);
            Vec::new()
        });
    }

    /// Takes what an operating system says of itself.
    pub fn post_vitals(&self, system: &Id, vitals: Vitals) {
        self.write(|next| {
            let all = Arc::make_mut(&mut next.vitals);
            all.insert(system.clone(), vitals);
            Vec::new()
        });
    }

    /// Takes a system's power state.
    pub fn post_power(&self, system: &Id, state: PowerState) {
        if self.snapshot().power.get(system) == Some(&state) {
            return;
        }
        self.write(|next| {
            let all = Arc::make_mut(&mut next.power);
            if all.insert(system.clone(), state).is_some() {
                turn(next, system);
            }
            next.fixed_version += 1;
            vec![Change::Power(system.clone())]
        });
    }

    /// Takes that somebody has the system switched, whatever comes of it.
    pub(crate) fn post_switched(&self, system: &Id) {
        self.write(|next| {
            turn(next, system);
            vec![Change::Switched(system.clone())]
        });
    }

    /// Takes how often a system may still be started within the hour.
    pub(crate) fn post_starts(&self, system: &Id, left: usize) {
        if self.snapshot().starts_left.get(system) == Some(&left) {
            return;
        }
        self.write(|next| {
            let all = Arc::make_mut(&mut next.starts_left);
            all.insert(system.clone(), left);
            next.fixed_version += 1;
            Vec::new()
        });
    }

    /// Takes how the agent of a node's own stands.
    pub(crate) fn post_agent(&self, system: &Id, agent: NodeAgent) {
        let snapshot = self.snapshot();
        let before = snapshot.agents.get(system);
        let same = |it: &NodeAgent| {
            (&it.url, &it.kinds, &it.why)
                == (&agent.url, &agent.kinds, &agent.why)
        };
        if before.is_some_and(same) {
            return;
        }
        self.write(|next| {
            Arc::make_mut(&mut next.agents).insert(system.clone(), agent);
            next.fixed_version += 1;
            Vec::new()
        });
    }

    /// Takes when a system was last started.
    pub(crate) fn post_reset(&self, system: &Id, at: DateTime<Utc>) {
        self.write(|next| {
            Arc::make_mut(&mut next.resets).insert(system.clone(), at);
            next.fixed_version += 1;
            Vec::new()
        });
    }

    /// Takes what a board says about the start of a system.
    pub fn post_boot(&self, system: &Id, started: Started) {
        let before = self.snapshot().boots.get(system).copied();
        if before.is_some_and(|boot| boot.started == started) {
            return;
        }
        self.write(|next| {
            let all = Arc::make_mut(&mut next.boots);
            // What was so when the agent came is older than anyone knows.
            let since = before.map(|_| Utc::now());
            let again =
                before.is_some_and(|it| started.count > it.started.count);
            if again {
                let resets = Arc::make_mut(&mut next.resets);
                resets.insert(system.clone(), Utc::now());
            }
            all.insert(system.clone(), Boot { started, since });
            next.fixed_version += 1;
            vec![Change::Boot(system.clone())]
        });
    }

    /// Takes what a control in `chassis` does.
    pub(crate) fn post_control(
        &self,
        chassis: &Id,
        control: &Id,
        state: ControlState,
    ) {
        self.write(|next| {
            let all = Arc::make_mut(&mut next.controls);
            all.insert(control.clone(), state);
            next.fixed_version += 1;
            vec![Change::Control(chassis.clone(), control.clone())]
        });
    }

    /// Takes what a switch in `chassis` is.
    pub(crate) fn post_switch(
        &self,
        chassis: &Id,
        switch: &Id,
        state: SwitchState,
    ) {
        self.write(|next| {
            let all = Arc::make_mut(&mut next.switches);
            all.insert(switch.clone(), state);
            next.fixed_version += 1;
            vec![Change::Control(chassis.clone(), switch.clone())]
        });
    }

    /// Tells that inputs became active or inactive; what they are now is in
    /// their readings.
    pub(crate) fn post_inputs(&self, inputs: Vec<(Id, bool)>) {
        if inputs.is_empty() {
            return;
        }
        let change = |(id, active)| Change::Input(id, active);
        self.write(|_| inputs.into_iter().map(change).collect());
    }

    /// Takes whether the power supply `supply` in `chassis` has its input.
    pub fn post_supply(&self, chassis: &Id, supply: &Id, fed: bool) {
        if self.snapshot().outages.contains_key(supply) != fed {
            return;
        }
        self.write(|next| {
            let all = Arc::make_mut(&mut next.outages);
            if fed {
                all.remove(supply);
            } else {
                all.insert(supply.clone(), Utc::now());
            }
            next.fixed_version += 1;
            vec![Change::Supply(chassis.clone(), supply.clone())]
        });
    }

    /// Takes what the hardware watchdog does.
    pub(crate) fn post_watchdog(&self, state: WatchdogState) {
        self.write(|next| {
            let before = next.watchdog.replace(state);
            let cause = |it: &WatchdogState| it.cause;
            if before.as_ref().map(cause) != next.watchdog.as_ref().map(cause) {
                next.fixed_version += 1;
            }
            Vec::new()
        });
    }

    /// Takes what `source` says is wrong with `part`; what it does not say any
    /// more is not so.
    pub fn post_troubles(
        &self,
        part: &Part,
        source: &Id,
        troubles: Vec<Trouble>,
    ) {
        let same = {
            let snapshot = self.snapshot();
            let said = snapshot.troubles.get(part).into_iter().flatten();
            let said = said.filter(|known| known.source == *source);
            said.map(|known| &known.trouble).eq(&troubles)
        };
        if same {
            return;
        }
        self.write(|next| {
            let all = Arc::make_mut(&mut next.troubles);
            let before = all.remove(part).unwrap_or_default();
            let now = trouble::renew(&before, source, troubles);
            if !now.is_empty() {
                all.insert(part.clone(), now);
            }
            next.fixed_version += 1;
            vec![Change::Trouble(part.clone())]
        });
    }

    /// Takes the volumes that there are, where they are different.
    pub(crate) fn post_volumes(&self, volumes: Shelves) {
        if *self.snapshot().volumes == volumes {
            return;
        }
        self.write(|next| {
            next.volumes = Arc::new(volumes);
            next.fixed_version += 1;
            Vec::new()
        });
    }
}

fn turn(next: &mut Snapshot, system: &Id) {
    let all = Arc::make_mut(&mut next.turns);
    let turns = all.entry(system.clone()).or_default();
    *turns = turns.wrapping_add(1);
}

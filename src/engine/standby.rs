//! Standby: the operator takes this node, or some of its instances, out of the election until they
//! are put back in: for maintenance. An active instance hands over first, without a gap.

use std::collections::BTreeSet;

use super::answers::{HandoverRefusal, Standby, StandbyAnswer};
use super::event::Action;
use super::instance::Instance;
use super::story::{Event, Peer, What};
use super::turn::Turn;
use super::waiting::Waiting;
use super::{Answer, Engine};
use crate::hash::hash_by;
use crate::model::InstanceName;

/// A request for standby that waits for other nodes to take over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    number: u64,
    /// All instances are wanted out.
    node: bool,
    /// Whether they go also where nobody takes over.
    force: bool,
    /// The instances that are still active.
    waiting: Waiting,
    moved: Vec<(InstanceName, Option<Peer>)>,
    refused: Vec<(InstanceName, HandoverRefusal)>,
}

hash_by!(Request { node, force, waiting } without { number, moved, refused });

impl Engine {
    /// Takes an instance, or all, out of the election.
    pub(super) fn stand_by(
        &mut self,
        turn: &mut Turn,
        request: u64,
        instance: Option<&InstanceName>,
        force: bool,
    ) {
        let mut asked = Request {
            number: request,
            node: instance.is_none(),
            force,
            waiting: Waiting::default(),
            moved: Vec::new(),
            refused: Vec::new(),
        };
        let units = match instance {
            Some(name) => self.unit_of(name).map(|unit| vec![unit]),
            None => Ok(self.units()),
        };
        match units {
            Ok(units) => {
                for unit in units {
                    self.lead_out(turn, unit, &mut asked);
                }
            }
            Err(refusal) => asked.refused.extend(instance.cloned().map(|name| (name, refusal))),
        }
        self.standby_requests.push(asked);
        self.settle_standby(turn);
    }

    /// Puts an instance, or all, back into the election.
    pub(super) fn go_online(
        &mut self,
        turn: &mut Turn,
        request: u64,
        instance: Option<&InstanceName>,
    ) {
        let mut refused = Vec::new();
        match instance.map(|name| self.unit_of(name)) {
            None => {
                self.call_off_standby(turn, |_| true);
                self.standby = Standby::default();
            }
            Some(Ok(unit)) => {
                self.call_off_standby(turn, |name| unit.contains(name));
                if std::mem::take(&mut self.standby.node) {
                    let all: Vec<_> = self.configured().map(|one| one.name.clone()).collect();
                    self.standby.instances.extend(all);
                }
                self.standby.instances.retain(|name| !unit.contains(name));
            }
            Some(Err(refusal)) => {
                let known = instance.is_some_and(|name| self.standby.instances.remove(name));
                // One that the configuration has no more is forgotten.
                if !known {
                    refused.extend(instance.cloned().map(|name| (name, refusal)));
                }
            }
        }
        self.apply_standby(turn, self.all());
        let answer = StandbyAnswer { standby: self.standby.clone(), moved: Vec::new(), refused };
        turn.out.push(Action::Answer { request, answer: Answer::Standby(answer) });
    }

    /// Who is still on the way out stays; what was asked for last counts.
    fn call_off_standby(&mut self, turn: &mut Turn, comes_back: impl Fn(&InstanceName) -> bool) {
        let mut staying = BTreeSet::new();
        for asked in &mut self.standby_requests {
            // It is not the whole node any more.
            asked.node = false;
            for number in asked.waiting.all() {
                if !asked.waiting.unit(number).iter().any(&comes_back) {
                    continue;
                }
                for name in asked.waiting.remove(number) {
                    staying.insert(name.clone());
                    asked.refused.push((name, HandoverRefusal::CalledOff));
                }
            }
        }
        let places = self.places_of(&staying);
        self.each(turn, places, Instance::stay);
    }

    /// The places of the instances of these names.
    fn places_of<'a>(&self, names: impl IntoIterator<Item = &'a InstanceName>) -> Vec<usize> {
        names.into_iter().flat_map(|name| self.index.name(name)).copied().collect()
    }

    /// The instances that go together with this one.
    fn unit_of(&self, name: &InstanceName) -> Result<Vec<InstanceName>, HandoverRefusal> {
        let units = self.units();
        let unit = units.into_iter().find(|unit| unit.contains(name));
        unit.ok_or_else(|| {
            let known = self.configured().map(|instance| instance.name.clone());
            HandoverRefusal::NoSuchInstance(known.collect())
        })
    }

    /// The sync groups, and the instances that are in none.
    fn units(&self) -> Vec<Vec<InstanceName>> {
        let groups = &self.config.sync_groups;
        let alone = self.configured().map(|instance| &instance.name);
        let alone = alone.filter(|name| !groups.iter().any(|group| group.members.contains(*name)));
        groups
            .iter()
            .map(|g| g.members.clone())
            .chain(alone.map(|name| vec![name.clone()]))
            .collect()
    }

    /// Asks those of a unit that are active to hand over; where none is, it is out at once. Where
    /// one of them may not go, none does.
    fn lead_out(&mut self, turn: &mut Turn, unit: Vec<InstanceName>, asked: &mut Request) {
        let mut places = self.places_of(&unit);
        places.retain(|place| self.instances.get(*place).is_some_and(|one| !one.is_retired()));
        let mut members = places.iter().filter_map(|place| self.instances.get(*place));
        let refusal = members.find_map(|member| {
            let refusal = member.may_stand_by().err()?;
            Some((member.config().name.clone(), refusal))
        });
        if let Some(refusal) = refusal {
            return asked.refused.push(refusal);
        }
        let mut is_leaving = false;
        self.each(turn, places.clone(), |member, context, out| {
            member.begin_to_stand_by(context, out);
            is_leaving |= member.is_leaving();
        });
        if is_leaving {
            asked.waiting.push(unit);
        } else {
            self.standby.instances.extend(unit);
            self.apply_standby(turn, places);
        }
    }

    /// Looks at what has become of those who were asked to hand over.
    pub(super) fn settle_standby(&mut self, turn: &mut Turn) {
        for mut asked in std::mem::take(&mut self.standby_requests) {
            // A unit that was not touched is still on its way. A reload may have taken instances
            // away.
            let numbers = if turn.reloads {
                asked.waiting.all()
            } else {
                let touched = turn.touched.places();
                let touched = touched.filter_map(|place| self.instances.get(place));
                asked.waiting.of(touched.map(|instance| &instance.config().name))
            };
            for number in numbers {
                self.settle_unit(turn, number, &mut asked);
            }
            if asked.node && asked.refused.is_empty() && asked.waiting.is_empty() {
                // A reload may have brought some meanwhile.
                let mut units = self.units();
                units.retain(|unit| !unit.iter().all(|name| self.standby.covers(name)));
                for unit in units {
                    self.lead_out(turn, unit, &mut asked);
                }
            }
            if asked.waiting.is_empty() {
                self.standby.node |= asked.node && asked.refused.is_empty();
                if self.standby.node {
                    self.standby.instances.clear();
                }
                self.apply_standby(turn, self.all());
                let answer = StandbyAnswer {
                    standby: self.standby.clone(),
                    moved: asked.moved,
                    refused: asked.refused,
                };
                let request = asked.number;
                turn.out.push(Action::Answer { request, answer: Answer::Standby(answer) });
            } else {
                self.standby_requests.push(asked);
            }
        }
    }

    fn settle_unit(&mut self, turn: &mut Turn, number: usize, asked: &mut Request) {
        let places = self.places_of(asked.waiting.unit(number));
        let members = || places.iter().filter_map(|place| self.instances.get(*place));
        if members().any(Instance::is_leaving) {
            return;
        }
        let unit = asked.waiting.remove(number);
        // It was active, was to leave, and does not any more: nobody has taken over, or the daemon
        // stops, and who has taken over is not known.
        let stays = members().find(|instance| instance.holds() && !asked.force);
        let refusal = match stays {
            _ if self.stopping => Some((members().next(), HandoverRefusal::CalledOff)),
            Some(instance) => Some((Some(instance), HandoverRefusal::Unclaimed)),
            None => None,
        };
        if let Some((instance, refusal)) = refusal {
            let name = instance.map(|instance| instance.config().name.clone());
            return asked.refused.extend(name.map(|name| (name, refusal)));
        }
        asked.moved.extend(members().map(|instance| {
            let successor = instance.active_router();
            let successor = successor.map(|source| Peer::new(&self.config, source));
            (instance.config().name.clone(), successor)
        }));
        self.standby.instances.extend(unit);
        self.apply_standby(turn, places);
    }

    /// Tells each of these instances whether it is out.
    pub(super) fn apply_standby(
        &mut self,
        turn: &mut Turn,
        places: impl IntoIterator<Item = usize>,
    ) {
        let mut changed: Vec<usize> = places.into_iter().collect();
        changed.retain(|place| {
            self.instances.get(*place).is_some_and(|instance| {
                let covered = self.standby.covers(&instance.config().name);
                instance.obstacles().standby != covered
            })
        });
        for place in changed {
            let Some(name) = self.instances.get(place).map(|one| one.config().name.clone()) else {
                continue;
            };
            let covered = self.standby.covers(&name);
            self.each(turn, [place], |instance, context, out| {
                if instance.set_standby(context, covered, out) {
                    let what = What::Standby(covered);
                    let instance = Some(name.clone());
                    out.push(Action::Report(Event { instance, group: None, what }));
                }
            });
        }
    }
}

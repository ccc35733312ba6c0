//! The end of a turn: what was decided is put in order and written down, and each says when it is due
//! next.

use super::deadlines::{Deadlines, Owner};
use super::event::Action;
use super::group::Group;
use super::index::Index;
use super::instance::Instance;
use super::turn::Turn;
use super::{Context, Engine, order};

impl Engine {
    /// Settles all that was decided: what must be written down before it is done, what
    /// is watched, when who is due next, and whether this is the end.
    pub(super) fn settle(&mut self, turn: &mut Turn) {
        self.keep_what_moved(&mut turn.out);
        order::removals_first(&mut turn.out);
        self.write_down(turn);
        self.rearm(turn);
        self.forget_past(turn);
        let is_over = || {
            self.instances.iter().all(Instance::is_over) && self.groups.iter().all(Group::is_over)
        };
        if self.stopping && !self.ended && is_over() {
            self.ended = true;
            turn.out.push(Action::Exit);
        }
    }

    /// Forgets the instances and groups that the configuration has no more and of which nothing
    /// is left.
    fn forget_past(&mut self, turn: &mut Turn) {
        let is_gone = |place| self.instances.get(place).is_some_and(Instance::is_gone);
        let mut dissolved = self.groups.iter().skip(self.config.sync_groups.len());
        if !turn.touched.places().any(is_gone) && !dissolved.any(Group::is_gone) {
            return;
        }
        self.instances.retain(|instance| !instance.is_gone());
        self.groups.retain(|group| !group.is_gone());
        self.update_listening(turn, None);
        self.renumber();
    }

    /// Rebuilds all that follows from the places of instances, checks and groups.
    pub(super) fn renumber(&mut self) {
        self.index = Index::new(&self.instances, &self.groups);
        self.deadlines = Deadlines::default();
        self.slots.clear();
        for (place, instance) in self.instances.iter().enumerate() {
            if let Some(at) = instance.next_advertisement() {
                let interval = instance.config().advertisement_interval.span();
                self.slots.keep(place, &instance.config().interface, interval, at);
            }
            self.deadlines.set(Owner::Instance(place), instance.deadline());
        }
        for place in self.tracks.places() {
            self.deadlines.set(Owner::Track(place), self.tracks.deadline(place));
        }
        for (place, group) in self.groups.iter().enumerate() {
            self.deadlines.set(Owner::Group(place), group.deadline());
        }
        self.deadlines.set(Owner::Listening, self.links.listening_deadline());
    }

    /// Whatever was touched says when it is due next.
    fn rearm(&mut self, turn: &mut Turn) {
        let Self { config, links, tracks, gates, instances, slots, deadlines, .. } = self;
        let context = Context { now: turn.now, config, links, tracks, gates };
        for place in turn.touched.places() {
            let Some(instance) = instances.get_mut(place) else { continue };
            instance.settle(&context);
            match instance.next_advertisement() {
                Some(wish) => {
                    let interval = instance.config().advertisement_interval.span();
                    let at = slots.seat(place, &instance.config().interface, interval, wish);
                    instance.advertise_at(at);
                }
                None => slots.leave(place),
            }
            deadlines.set(Owner::Instance(place), instance.settled_deadline());
        }
        for place in turn.tracks.iter().copied() {
            deadlines.set(Owner::Track(place), tracks.deadline(place));
        }
        for place in turn.groups.iter().copied() {
            let next = self.groups.get(place).and_then(Group::deadline);
            deadlines.set(Owner::Group(place), next);
        }
        if turn.listening {
            deadlines.set(Owner::Listening, links.listening_deadline());
        }
    }
}

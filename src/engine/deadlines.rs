//! All that is due at some time, in one order.

use std::collections::BTreeSet;

use super::timer::Timer;
use crate::time::Mono;

/// Something that has deadlines, by its place among its kind. What is due at the same time is done
/// in this order: advertisements can wait the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Owner {
    /// The VRRP sockets.
    Listening,
    /// An instance.
    Instance(usize),
    /// A check.
    Track(usize),
    /// A sync group.
    Group(usize),
}

/// The next deadline of each owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Deadlines {
    queue: BTreeSet<(Mono, Owner, Timer)>,
    listening: Option<(Mono, Timer)>,
    instances: Vec<Option<(Mono, Timer)>>,
    tracks: Vec<Option<(Mono, Timer)>>,
    groups: Vec<Option<(Mono, Timer)>>,
}

impl Deadlines {
    /// This is the owner's next deadline from now on; `None`: nothing is due.
    pub(super) fn set(&mut self, owner: Owner, next: Option<(Mono, Timer)>) {
        let (places, place) = match owner {
            Owner::Listening => {
                let before = std::mem::replace(&mut self.listening, next);
                return self.replace(owner, before, next);
            }
            Owner::Instance(place) => (&mut self.instances, place),
            Owner::Track(place) => (&mut self.tracks, place),
            Owner::Group(place) => (&mut self.groups, place),
        };
        if places.len() <= place {
            places.resize(place + 1, None);
        }
        if let Some(known) = places.get_mut(place) {
            let before = std::mem::replace(known, next);
            self.replace(owner, before, next);
        }
    }

    fn replace(
        &mut self,
        owner: Owner,
        before: Option<(Mono, Timer)>,
        next: Option<(Mono, Timer)>,
    ) {
        if before == next {
            return;
        }
        if let Some((at, timer)) = before {
            self.queue.remove(&(at, owner, timer));
        }
        if let Some((at, timer)) = next {
            self.queue.insert((at, owner, timer));
        }
    }

    /// The first of all.
    pub(super) fn next(&self) -> Option<(Mono, Timer)> {
        self.queue.first().map(|(at, _, timer)| (*at, *timer))
    }

    /// The owners of what is due by now, in their order.
    pub(super) fn due(&self, now: Mono) -> Vec<Owner> {
        let due = self.queue.iter().take_while(|(at, ..)| *at <= now);
        let mut owners: Vec<Owner> = due.map(|(_, owner, _)| *owner).collect();
        owners.sort_unstable();
        owners
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: each owner has one deadline, the last that it was given, and none after `None`.
    #[test]
    fn an_owner_has_one_deadline() {
        let mut deadlines = Deadlines::default();
        let web = Owner::Instance(3);
        deadlines.set(web, Some((Mono(20), Timer::ActiveDown)));
        deadlines.set(web, Some((Mono(30), Timer::Advertisement)));
        assert_eq!(deadlines.next(), Some((Mono(30), Timer::Advertisement)));
        assert!(deadlines.due(Mono(29)).is_empty());
        deadlines.set(web, None);
        assert_eq!(deadlines.next(), None);
    }

    /// Rule: what is due at one time is done by kind and place, whatever time each was due at.
    #[test]
    fn what_is_due_has_an_order() {
        let mut deadlines = Deadlines::default();
        deadlines.set(Owner::Track(0), Some((Mono(10), Timer::Check)));
        deadlines.set(Owner::Instance(1), Some((Mono(30), Timer::Advertisement)));
        deadlines.set(Owner::Instance(0), Some((Mono(40), Timer::Advertisement)));
        deadlines.set(Owner::Group(0), Some((Mono(50), Timer::Hook)));
        assert_eq!(
            deadlines.due(Mono(40)),
            [Owner::Instance(0), Owner::Instance(1), Owner::Track(0)]
        );
    }
}

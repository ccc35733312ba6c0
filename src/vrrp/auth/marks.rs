//! What was heard last of each sender, so that nothing is heard twice.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Sequence;
use crate::model::AntiReplay;
use crate::time::Wall;

/// The number of senders that are remembered. Only somebody with a key can be one, so this many are
/// never there; keepalived remembers four.
const REMEMBERED: usize = 64;

/// The latest sequence of each sender.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Marks {
    latest: BTreeMap<IpAddr, Mark>,
    /// Counts what was accepted, to know which mark was used the longest ago.
    uses: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Mark {
    sequence: Sequence,
    used: u64,
}

/// What is known of a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// Nothing (any more).
    Nothing,
    /// Something earlier.
    Earlier,
    /// This sequence, or a later one.
    Already,
}

impl Marks {
    /// Whether a sequence of this sender is new. In time mode a mark outside the window is nothing:
    /// what it would refuse is too old or too new anyway, and a group whose clocks were wrong
    /// recovers.
    pub fn look(
        &self,
        now: Wall,
        anti_replay: AntiReplay,
        source: IpAddr,
        sequence: Sequence,
    ) -> Remembered {
        let holds = |mark: &&Mark| match anti_replay {
            AntiReplay::Time(window) => {
                mark.sequence.is_within(window.seconds(), Sequence::at(now))
            }
            AntiReplay::Monotonic => true,
        };
        match self.latest.get(&source).filter(holds) {
            None => Remembered::Nothing,
            Some(mark) if sequence.is_after(mark.sequence) => Remembered::Earlier,
            Some(_) => Remembered::Already,
        }
    }

    /// An advertisement with this sequence was accepted: it and what was before it never is again.
    pub fn set(&mut self, source: IpAddr, sequence: Sequence) {
        if self.latest.len() >= REMEMBERED && !self.latest.contains_key(&source) {
            let oldest = self.latest.iter().min_by_key(|(_, mark)| mark.used);
            if let Some(source) = oldest.map(|(source, _)| *source) {
                self.latest.remove(&source);
            }
        }
        self.uses += 1;
        self.latest.insert(source, Mark { sequence, used: self.uses });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Window;
    use crate::time::Span;

    const NOW: u64 = 1_700_000_000;
    const TIME: AntiReplay = AntiReplay::Time(Window::DEFAULT);

    fn wall(seconds: u64) -> Wall {
        Wall(0) + Span::from_secs(seconds)
    }

    fn at(seconds: u64) -> Sequence {
        Sequence::at(wall(seconds))
    }

    fn sender(number: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, number])
    }

    /// Rule: nothing is new twice, and what is older than what was heard is not new.
    #[test]
    fn each_sequence_is_new_once() {
        let mut marks = Marks::default();
        let look = |marks: &Marks, sequence| marks.look(wall(NOW), TIME, sender(1), sequence);
        assert_eq!(look(&marks, at(NOW)), Remembered::Nothing);
        marks.set(sender(1), at(NOW));
        assert_eq!(look(&marks, at(NOW)), Remembered::Already);
        assert_eq!(look(&marks, at(NOW - 1)), Remembered::Already);
        assert_eq!(look(&marks, at(NOW).next()), Remembered::Earlier);
        let other = marks.look(wall(NOW), TIME, sender(2), at(NOW));
        assert_eq!(other, Remembered::Nothing, "each sender has its own");
    }

    /// Rule: after a step of all clocks backwards the group recovers in time mode; in monotonic
    /// mode a mark holds for ever.
    #[test]
    fn marks_outside_the_window_are_forgotten() {
        let mut marks = Marks::default();
        marks.set(sender(1), at(NOW));
        let look = |seconds, mode| marks.look(wall(seconds), mode, sender(1), at(seconds));
        assert_eq!(look(NOW - 5, TIME), Remembered::Already);
        assert_eq!(look(NOW - 6, TIME), Remembered::Nothing);
        assert_eq!(look(NOW - 3600, AntiReplay::Monotonic), Remembered::Already);
        assert_eq!(look(NOW + 3600, AntiReplay::Monotonic), Remembered::Earlier);
    }

    /// Rule: memory is bounded; the sender that was heard the longest ago is forgotten first.
    #[test]
    fn memory_is_bounded() {
        let mut marks = Marks::default();
        for number in 0..=255 {
            marks.set(sender(number), at(NOW));
            marks.set(sender(0), at(NOW).next());
        }
        assert_eq!(marks.latest.len(), REMEMBERED);
        let look = |number| marks.look(wall(NOW), TIME, sender(number), at(NOW));
        assert_eq!(look(0), Remembered::Already, "it was heard all the time");
        assert_eq!(look(255), Remembered::Already);
        assert_eq!(look(1), Remembered::Nothing);
    }
}

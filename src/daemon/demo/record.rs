//! What became of each datagram that the client sent.

use std::time::Duration;

use super::cast::Node;

/// What is younger is on its way, not lost. A late answer is an answer, as machines can be busy,
/// except before the first prompt one: ARP keeps datagrams until somebody has the address.
const PATIENCE: Duration = Duration::from_millis(500);

/// Every datagram in the order of sending: its place is its sequence number. All times count
/// from the start of the client.
#[derive(Debug, Default)]
pub(super) struct Record {
    sent: Vec<Datagram>,
    answered: usize,
}

#[derive(Clone, Copy, Debug)]
struct Datagram {
    at: Duration,
    answer: Option<Answer>,
}

/// Who answered, and when that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub by: Node,
    pub at: Duration,
}

impl Record {
    /// Notes a datagram and returns its sequence number.
    pub(super) fn send(&mut self, at: Duration) -> u64 {
        self.sent.push(Datagram { at, answer: None });
        self.sent.len() as u64 - 1
    }

    /// Notes an answer, unless it is a second one, one to a number never sent, or one to what was
    /// sent long before the first election.
    pub(super) fn answer(&mut self, number: u64, answer: Answer) {
        let datagram = usize::try_from(number).ok().and_then(|place| self.sent.get_mut(place));
        let elected = self.answered > 0;
        let wanted = datagram.filter(|datagram| {
            let prompt = answer.at.saturating_sub(datagram.at) <= PATIENCE;
            datagram.answer.is_none() && (prompt || elected)
        });
        if let Some(datagram) = wanted {
            datagram.answer = Some(answer);
            self.answered += 1;
        }
    }

    /// How many datagrams were sent.
    pub(super) fn sent(&self) -> usize {
        self.sent.len()
    }

    /// How many of them were answered.
    pub(super) fn answered(&self) -> usize {
        self.answered
    }

    /// The first answer of a node to a datagram that was sent at `from` or later.
    pub(super) fn first_answer(&self, by: Node, from: Duration) -> Option<Answer> {
        let mut answers = self.between(from, Duration::MAX).iter().filter_map(|d| d.answer);
        answers.find(|answer| answer.by == by)
    }

    /// Who answered last, unless that is longer ago than an answer may take.
    pub(super) fn answering(&self, now: Duration) -> Option<Node> {
        let recent = self.between(now.saturating_sub(PATIENCE), Duration::MAX);
        recent.iter().rev().find_map(|datagram| datagram.answer).map(|answer| answer.by)
    }

    /// The nodes in the order in which they answered what was sent in that time, each once for
    /// an unbroken run of answers.
    pub(super) fn turns(&self, from: Duration, until: Duration) -> Vec<Node> {
        let answers = self.between(from, until).iter().filter_map(|datagram| datagram.answer);
        let mut turns: Vec<Node> = answers.map(|answer| answer.by).collect();
        turns.dedup();
        turns
    }

    /// The longest stretch without an answer that reaches into that time: from its first
    /// unanswered datagram to the next answered one, or to the last one sent where there is none
    /// yet. The time before the very first answer is no gap: nobody had the address.
    pub(super) fn longest_gap(&self, from: Duration, until: Duration) -> Duration {
        let end = self.end();
        let runs: Vec<&[Datagram]> = self
            .since_first_answer()
            .chunk_by(|a, b| a.answer.is_some() == b.answer.is_some())
            .collect();
        let started = |run: &&[Datagram]| run.first().map_or(end, |datagram| datagram.at);
        let follower = runs.iter().skip(1).map(started).chain([end]);
        runs.iter()
            .zip(follower)
            .filter(|(run, _)| run.iter().all(|datagram| datagram.answer.is_none()))
            .map(|(run, ended)| (started(run), ended))
            .filter(|(began, ended)| *began < until && *ended > from)
            .filter(|(began, ended)| *ended < end || end.saturating_sub(*began) > PATIENCE)
            .map(|(began, ended)| ended.saturating_sub(began))
            .max()
            .unwrap_or_default()
    }

    /// Who answered in each stretch of that length, nobody where most of it went unanswered.
    /// What may still be on its way is left out.
    pub(super) fn strip(&self, stretch: Duration) -> Vec<Option<Node>> {
        let settled = self.between(Duration::ZERO, self.end().saturating_sub(PATIENCE));
        let place = |datagram: &Datagram| datagram.at.as_micros() / stretch.as_micros().max(1);
        settled.chunk_by(|a, b| place(a) == place(b)).map(most_answers).collect()
    }

    fn end(&self) -> Duration {
        self.sent.last().map_or(Duration::ZERO, |last| last.at)
    }

    fn since_first_answer(&self) -> &[Datagram] {
        let first = self.sent.iter().position(|datagram| datagram.answer.is_some());
        first.and_then(|place| self.sent.get(place..)).unwrap_or_default()
    }

    fn between(&self, from: Duration, until: Duration) -> &[Datagram] {
        let place = |time| self.sent.partition_point(|datagram| datagram.at < time);
        self.sent.get(place(from)..place(until)).unwrap_or_default()
    }
}

fn most_answers(stretch: &[Datagram]) -> Option<Node> {
    let who = [None, Some(Node::Web1), Some(Node::Web2)].into_iter();
    who.max_by_key(|by| {
        stretch.iter().filter(|datagram| datagram.answer.map(|answer| answer.by) == *by).count()
    })
    .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Node::{Web1, Web2};

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn at(millis: u32) -> Duration {
        MILLISECOND * millis
    }

    /// A datagram each millisecond from 0 on: `runs` says for how many who answered.
    fn record(runs: &[(u32, Option<Node>)]) -> Record {
        let mut record = Record::default();
        let answers = runs.iter().flat_map(|&(count, by)| (0..count).map(move |_| by));
        for (time, by) in (0..).zip(answers) {
            let number = record.send(at(time));
            if let Some(by) = by {
                record.answer(number, Answer { by, at: at(time) });
            }
        }
        record
    }

    /// Rule: a gap lasts from the first lost datagram to the next answered one. Bug guarded: a
    /// datagram on its way when the power is cut is lost too, although it was sent before.
    #[test]
    fn a_gap_lasts_until_the_next_answered_datagram() {
        let seen = record(&[(100, Some(Web1)), (650, None), (700, Some(Web2)), (9, None)]);
        assert_eq!(seen.longest_gap(at(0), at(9999)), at(650));
        assert_eq!(seen.longest_gap(at(101), at(9999)), at(650));
        assert_eq!(seen.longest_gap(at(0), at(100)), Duration::ZERO);
        assert_eq!(seen.longest_gap(at(750), at(9999)), Duration::ZERO);
    }

    /// Rule: before the first election nobody has the address, so its wait is no gap.
    #[test]
    fn the_time_before_the_first_answer_is_no_gap() {
        let seen = record(&[(1700, None), (10, Some(Web1)), (20, None), (600, Some(Web1))]);
        assert_eq!(seen.longest_gap(at(0), at(9999)), at(20));
        assert_eq!(record(&[(1700, None)]).longest_gap(at(0), at(9999)), Duration::ZERO);
    }

    /// Rule: one lost datagram is a gap of one millisecond, not of zero.
    #[test]
    fn one_lost_datagram_counts() {
        let seen = record(&[(100, Some(Web1)), (1, None), (500, Some(Web1))]);
        assert_eq!(seen.longest_gap(at(0), at(1000)), at(1));
    }

    /// Rule: what was sent a moment ago is not lost, but what nobody ever answers is.
    #[test]
    fn what_is_on_its_way_is_not_lost() {
        let young = record(&[(500, Some(Web1)), (400, None)]);
        assert_eq!(young.longest_gap(at(0), at(1000)), Duration::ZERO);
        let dead = record(&[(500, Some(Web1)), (2000, None)]);
        assert_eq!(dead.longest_gap(at(0), at(1000)), at(1999));
    }

    /// Bug guarded: an address that goes back and forth must not look like one takeover.
    #[test]
    fn turns_show_an_address_that_goes_back_and_forth() {
        let seen = record(&[(9, Some(Web1)), (3, None), (2, Some(Web2)), (2, Some(Web1))]);
        assert_eq!(seen.turns(at(0), at(100)), [Web1, Web2, Web1]);
        assert_eq!(seen.turns(at(12), at(14)), [Web2]);
    }

    /// Rule: an answer counts for the node that is asked about, from the given time on.
    #[test]
    fn the_first_answer_is_of_that_node_and_time() {
        let seen = record(&[(5, Some(Web1)), (5, None), (5, Some(Web2)), (5, Some(Web1))]);
        assert_eq!(seen.first_answer(Web2, at(0)), Some(Answer { by: Web2, at: at(10) }));
        assert_eq!(seen.first_answer(Web1, at(7)), Some(Answer { by: Web1, at: at(15) }));
        assert_eq!(seen.first_answer(Web2, at(16)), None);
    }

    /// Rule: an old answer does not make a silent node look alive.
    #[test]
    fn nobody_answers_after_a_silence() {
        let seen = record(&[(10, Some(Web1)), (900, None)]);
        assert_eq!(seen.answering(at(100)), Some(Web1));
        assert_eq!(seen.answering(at(910)), None);
    }

    /// Bugs guarded: ARP's queue made the time before the first election look answered; answers
    /// of a starved server looked lost.
    #[test]
    fn late_answers_count_after_the_election_only() {
        let mut seen = record(&[(2000, None)]);
        seen.answer(0, Answer { by: Web1, at: at(900) });
        assert_eq!(seen.answered(), 0);
        seen.answer(901, Answer { by: Web1, at: at(901) });
        seen.answer(902, Answer { by: Web1, at: at(1900) });
        assert_eq!(seen.answered(), 2);
    }

    /// Rule: a foreign number or a duplicate changes nothing (the answer comes from a socket).
    #[test]
    fn strange_answers_are_ignored() {
        let mut seen = record(&[(2, Some(Web1))]);
        seen.answer(u64::MAX, Answer { by: Web2, at: at(3) });
        seen.answer(1, Answer { by: Web2, at: at(3) });
        assert_eq!((seen.answered(), seen.turns(at(0), at(9))), (2, vec![Web1]));
    }

    /// Rule: the strip shows silence where most of a stretch was silent.
    #[test]
    fn the_strip_shows_who_answered() {
        let seen = record(&[(100, Some(Web1)), (150, None), (150, Some(Web2)), (600, None)]);
        let strip = seen.strip(at(100));
        assert_eq!(strip, [Some(Web1), None, Some(Web2), Some(Web2), None]);
    }
}

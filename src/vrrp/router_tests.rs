//! Every row of RFC 9568 section 6.4, and what we do beyond it.

use super::*;
use crate::model::{IfAllFail, Version};

const INTERVAL: Interval = Interval::ONE_SECOND;
const TAKEOVER: Span = Span::from_millis(100);

fn address(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

const fn at(millis: u64) -> Mono {
    Mono(millis * 1_000_000)
}

fn settings(priority: u8, preempt: Preempt) -> Settings {
    Settings {
        version: Version::V3,
        priority: Priority::try_from(priority).unwrap(),
        interval: INTERVAL,
        maximum_interval: Interval::try_from(1_000).unwrap(),
        preempt,
        if_all_fail: IfAllFail::Release,
    }
}

/// A backup of priority 100 at 10.0.0.10 since time 0.
fn backup(preempt: Preempt) -> Router {
    let mut router = Router::new(settings(100, preempt));
    assert_eq!(router.start(at(0), at(0)), Outcome::Nothing);
    router
}

/// An active router of priority 100 at 10.0.0.10, which took over at 3609.375 ms.
fn active() -> Router {
    let mut router = backup(Preempt::Always);
    assert!(matches!(router.fire(at(3_610)), Outcome::TakeOver(Takeover::Silence(None, _))));
    router
}

fn heard(last: u8, priority: u8) -> Heard {
    Heard { source: address(last), priority, interval: INTERVAL, path: 0 }
}

fn hear(router: &mut Router, millis: u64, from: Heard) -> Outcome {
    router.hear(at(millis), at(millis), from, address(10))
}

fn due(router: &Router) -> u64 {
    router.deadline().unwrap().0.0 / 1_000
}

/// 6.4.1 (100) to (130): an address owner is active from the start, hold-down or not.
#[test]
fn startup_of_an_owner() {
    let mut router = Router::new(settings(255, Preempt::Always));
    assert_eq!(router.start(at(0), at(9_000)), Outcome::TakeOver(Takeover::Owner));
    assert_eq!(due(&router), 1_000_000);
}

/// 6.4.1 (140) to (160): anybody else is backup for an active-down interval of its own interval.
#[test]
fn startup_of_a_backup() {
    let router = backup(Preempt::Always);
    assert!(matches!(router.state(), State::Backup(_)));
    assert_eq!(due(&router), 3_609_375);
}

/// 6.4.2 (310): silence for an active-down interval makes it active; not a moment earlier.
#[test]
fn backup_takes_over_after_silence() {
    let mut router = backup(Preempt::Never);
    assert_eq!(hear(&mut router, 500, heard(11, 200)), Outcome::Nothing);
    assert_eq!(due(&router), 500_000 + 3_609_375);
    assert_eq!(router.fire(at(4_109)), Outcome::Nothing);
    let silence = Span::from_millis(3_610);
    let why = Takeover::Silence(Some(address(11)), silence);
    assert_eq!(router.fire(at(4_110)), Outcome::TakeOver(why));
    assert_eq!(due(&router), 5_110_000);
}

/// 6.4.2 (360): priority 0 leaves the backup a skew time.
#[test]
fn backup_waits_a_skew_time_after_priority_zero() {
    let mut router = backup(Preempt::Always);
    assert_eq!(hear(&mut router, 100, heard(11, 200)), Outcome::Nothing);
    assert_eq!(hear(&mut router, 200, heard(11, 0)), Outcome::Nothing);
    assert_eq!(due(&router), 200_000 + 609_375);
    assert_eq!(router.fire(at(810)), Outcome::TakeOver(Takeover::Stopped(address(11))));
}

/// Bug of others: priority 0 from a router that is not the active one must not shorten the wait.
/// A loser of a fight that leaves would otherwise make every backup claim beside the winner.
#[test]
fn priority_zero_of_a_third_router_changes_nothing() {
    let mut router = backup(Preempt::Always);
    assert_eq!(hear(&mut router, 100, heard(11, 200)), Outcome::Nothing);
    assert_eq!(hear(&mut router, 150, heard(12, 150)), Outcome::Nothing);
    assert_eq!(hear(&mut router, 200, heard(12, 0)), Outcome::Nothing);
    assert_eq!(due(&router), 150_000 + 3_609_375);
}

/// Bug guarded: a backup that has just started and heard nothing yet must not ignore the only
/// word of the router that it is to succeed.
#[test]
fn a_new_backup_hears_a_farewell() {
    let mut router = backup(Preempt::Always);
    assert_eq!(hear(&mut router, 50, heard(11, 0)), Outcome::Nothing);
    assert_eq!(due(&router), 50_000 + 609_375);
    assert_eq!(router.fire(at(660)), Outcome::TakeOver(Takeover::Stopped(address(11))));
}

/// 6.4.2 (420): equal priority keeps a backup waiting, whoever has the higher address.
#[test]
fn backup_respects_equal_priority() {
    for last in [9, 11] {
        let mut router = backup(Preempt::Always);
        assert_eq!(hear(&mut router, 1_000, heard(last, 100)), Outcome::Nothing);
        assert_eq!(due(&router), 4_609_375);
    }
}

/// 6.4.2 (430): the active router's interval is learnt, for the skew time too.
#[test]
fn backup_learns_the_interval() {
    let mut router = backup(Preempt::Always);
    let slow = Heard { interval: Interval::try_from(200).unwrap(), ..heard(11, 200) };
    assert_eq!(hear(&mut router, 0, slow), Outcome::Nothing);
    assert_eq!(due(&router), 7_218_750);
}

/// Bug of others: one frame with the longest interval makes a backup wait for minutes.
#[test]
fn what_is_learnt_is_bounded() {
    let mut router = backup(Preempt::Always);
    let endless = Heard { interval: Interval::LONGEST_V3, ..heard(11, 200) };
    assert_eq!(hear(&mut router, 0, endless), Outcome::Nothing);
    assert_eq!(due(&router), 36_093_750);
}

/// 6.4.2 (450): a lower priority is ignored where we preempt: the timer runs on, and the other
/// router is preempted alive.
#[test]
fn backup_preempts() {
    let mut router = backup(Preempt::Always);
    for millis in [500, 1_500, 2_500, 3_500] {
        assert_eq!(hear(&mut router, millis, heard(11, 50)), Outcome::Nothing);
    }
    assert_eq!(due(&router), 3_609_375);
    assert_eq!(router.fire(at(3_610)), Outcome::TakeOver(Takeover::Preempt(heard(11, 50))));
}

/// 6.4.2 (420): without preemption a live active router of lower priority stays active.
#[test]
fn backup_that_never_preempts_waits_for_silence() {
    let mut router = backup(Preempt::Never);
    for millis in (0..20_000).step_by(1_000) {
        assert_eq!(hear(&mut router, millis, heard(11, 50)), Outcome::Nothing);
        assert_eq!(router.fire(at(millis + 900)), Outcome::Nothing);
    }
    assert_eq!(due(&router), 19_000_000 + 3_609_375);
}

/// Rule: preemption after a delay counts from the first lower-priority advertisement, and a
/// higher one starts the count anew.
#[test]
fn preemption_delay_is_counted_without_interruption() {
    let mut router = backup(Preempt::After(Span::from_secs(5)));
    for millis in [0, 1_000, 2_000, 3_000] {
        assert_eq!(hear(&mut router, millis, heard(11, 50)), Outcome::Nothing);
    }
    assert_eq!(due(&router), 5_000_000);
    assert_eq!(hear(&mut router, 3_500, heard(12, 200)), Outcome::Nothing);
    for millis in [4_000, 5_000, 6_000, 7_000, 8_000] {
        assert_eq!(hear(&mut router, millis, heard(11, 50)), Outcome::Nothing);
        assert_eq!(router.fire(at(millis)), Outcome::Nothing);
    }
    assert_eq!(due(&router), 9_000_000);
    assert_eq!(router.fire(at(9_000)), Outcome::TakeOver(Takeover::Preempt(heard(11, 50))));
}

/// Rule: the delay is for a live router; a lower-priority one that dies is replaced at once.
#[test]
fn silence_ends_the_preemption_delay() {
    let mut router = backup(Preempt::After(Span::from_secs(60)));
    assert_eq!(hear(&mut router, 0, heard(11, 50)), Outcome::Nothing);
    assert_eq!(due(&router), 3_609_375);
}

/// Rule: nothing is claimed during hold-down, though the timers run on.
#[test]
fn hold_down_defers_the_claim() {
    let mut router = Router::new(settings(100, Preempt::Always));
    assert_eq!(router.start(at(0), at(10_000)), Outcome::Nothing);
    assert_eq!(router.fire(at(5_000)), Outcome::Nothing);
    assert_eq!(due(&router), 10_000_000);
    assert!(matches!(router.fire(at(10_000)), Outcome::TakeOver(_)));
}

/// Invariant 2: a backup whose loop was late by more than an interval may have missed
/// advertisements; it listens again instead of claiming.
#[test]
fn a_late_loop_is_distrusted() {
    let mut router = backup(Preempt::Always);
    assert_eq!(hear(&mut router, 0, heard(11, 200)), Outcome::Nothing);
    let late = Span::from_micros(1_390_625);
    assert_eq!(router.fire(at(5_000)), Outcome::Distrusted(late));
    assert_eq!(due(&router), 5_000_000 + 3_609_375);
    assert!(matches!(router.fire(at(8_700)), Outcome::TakeOver(_)));
}

/// 6.4.3 (620): an active router advertises at its interval and keeps the beat; after a pause it
/// does not catch up with a burst.
#[test]
fn active_keeps_the_beat() {
    let mut router = active();
    assert_eq!(router.fire(at(4_612)), Outcome::Advertise);
    assert_eq!(due(&router), 5_610_000);
    assert_eq!(router.fire(at(9_000)), Outcome::Advertise);
    assert_eq!(due(&router), 10_000_000);
}

/// 6.4.3 (700): another one's priority 0 is answered at once, and the timer set anew. Beyond the
/// RFC the addresses are announced: whoever the other one has served must find us.
#[test]
fn active_answers_priority_zero() {
    let mut router = active();
    assert_eq!(hear(&mut router, 4_000, heard(11, 0)), Outcome::Reassert);
    assert_eq!(due(&router), 5_000_000);
}

/// 6.4.3 (720): higher priority, or equal priority and a higher address, wins; the loser learns
/// the winner's interval.
#[test]
fn active_yields_to_the_better() {
    for better in [heard(9, 101), heard(11, 100)] {
        let mut router = active();
        let slow = Heard { interval: Interval::try_from(200).unwrap(), ..better };
        assert_eq!(hear(&mut router, 4_000, slow), Outcome::GiveUp(slow));
        assert_eq!(due(&router), 4_000_000 + 7_218_750);
    }
}

/// 6.4.3 (770): the worse is told off at once, but only twice an interval: answering each frame
/// would let one forged frame cost an advertisement and an announcement.
#[test]
fn active_asserts_itself_against_the_worse() {
    for worse in [heard(11, 99), heard(9, 100)] {
        let mut router = active();
        let before = due(&router);
        assert_eq!(hear(&mut router, 4_000, worse), Outcome::Reassert);
        assert_eq!(hear(&mut router, 4_001, worse), Outcome::Nothing);
        assert_eq!(hear(&mut router, 4_500, worse), Outcome::Reassert);
        assert_eq!(due(&router), before, "the advertisement timer is nobody else's");
    }
}

/// 6.4.2 (320), 6.4.3 (640): a router that was shut down hears nothing and wants nothing.
#[test]
fn shutdown_ends_everything() {
    let mut router = active();
    router.shut_down();
    assert_eq!(router.deadline(), None);
    assert_eq!(hear(&mut router, 5_000, heard(11, 200)), Outcome::Nothing);
    assert_eq!(router.fire(at(99_000)), Outcome::Nothing);
}

/// Invariant 5: a router that leaves says so twice, and holds the addresses until another one is
/// active; then it is out, or a backup that leaves the other one alone.
#[test]
fn leaving_ends_with_the_successor() {
    let mut router = active();
    assert_eq!(router.leave(at(4_000), Departure::Stop, TAKEOVER, Vec::new()), Outcome::Farewell);
    assert!(router.holds());
    assert_eq!(due(&router), 4_062_500);
    assert_eq!(router.fire(at(4_063)), Outcome::Farewell);
    assert_eq!(hear(&mut router, 4_100, heard(12, 0)), Outcome::Nothing);
    assert_eq!(hear(&mut router, 4_500, heard(11, 50)), Outcome::Succeeded(heard(11, 50)));
    assert_eq!(router.state(), &State::Initialize);

    let mut router = active();
    assert_eq!(
        router.leave(at(4_000), Departure::Handover, TAKEOVER, Vec::new()),
        Outcome::Farewell
    );
    assert_eq!(hear(&mut router, 4_500, heard(11, 50)), Outcome::Succeeded(heard(11, 50)));
    for millis in (5_300..30_000).step_by(1_000) {
        assert_eq!(hear(&mut router, millis, heard(11, 50)), Outcome::Nothing);
        assert_eq!(router.fire(at(millis)), Outcome::Nothing, "it must not take them back");
    }
    assert!(matches!(router.fire(at(33_000)), Outcome::TakeOver(Takeover::Silence(..))));
}

/// Rule: a lower priority that is heard before half of its skew time has not taken over, whenever
/// the loop gets to it; a higher one has.
#[test]
fn leaving_does_not_end_with_just_any_router() {
    let mut router = active();
    assert_eq!(
        router.leave(at(4_000), Departure::Handover, TAKEOVER, Vec::new()),
        Outcome::Farewell
    );
    assert_eq!(hear(&mut router, 4_400, heard(11, 50)), Outcome::Nothing);
    let early = router.hear(at(4_900), at(3_990), heard(11, 50), address(10));
    assert_eq!(early, Outcome::Nothing, "it had arrived before");
    assert_eq!(hear(&mut router, 4_403, heard(11, 50)), Outcome::Succeeded(heard(11, 50)));
    let mut router = active();
    assert_eq!(
        router.leave(at(4_000), Departure::Handover, TAKEOVER, Vec::new()),
        Outcome::Farewell
    );
    assert_eq!(hear(&mut router, 4_001, heard(11, 200)), Outcome::Succeeded(heard(11, 200)));
}

/// Rule: the first in succession is believed at once, unless it was active beside this router: what it
/// sent then may be on its way still. After its priority 0 it has yielded, and is believed again.
#[test]
fn the_first_is_believed_once_it_has_yielded() {
    let leave = |router: &mut Router| {
        let first = vec![address(11)];
        assert_eq!(router.leave(at(4_200), Departure::Stop, TAKEOVER, first), Outcome::Farewell);
    };
    let first = heard(11, 50);

    let mut router = active();
    leave(&mut router);
    assert_eq!(hear(&mut router, 4_201, first), Outcome::Succeeded(first));

    let mut router = active();
    assert_eq!(hear(&mut router, 4_000, first), Outcome::Reassert);
    leave(&mut router);
    assert_eq!(hear(&mut router, 4_201, first), Outcome::Nothing, "sent before the farewell");

    let mut router = active();
    assert_eq!(hear(&mut router, 4_000, first), Outcome::Reassert);
    assert_eq!(hear(&mut router, 4_100, heard(11, 0)), Outcome::Reassert);
    leave(&mut router);
    assert_eq!(hear(&mut router, 4_201, first), Outcome::Succeeded(first));

    let mut router = active();
    assert_eq!(hear(&mut router, 4_000, heard(12, 50)), Outcome::Reassert);
    leave(&mut router);
    assert_eq!(hear(&mut router, 4_201, first), Outcome::Succeeded(first), "another one was");

    let mut router = active();
    for forged in 20..=90 {
        let answer = hear(&mut router, 4_000, heard(forged, 50));
        assert!(matches!(answer, Outcome::Reassert | Outcome::Nothing));
    }
    leave(&mut router);
    assert_eq!(hear(&mut router, 4_201, first), Outcome::Nothing, "there were too many");
}

/// Rule: where nobody takes over, a stop goes on after a bound, and a handover is undone.
#[test]
fn leaving_is_bounded() {
    let mut router = active();
    assert_eq!(router.leave(at(4_000), Departure::Stop, TAKEOVER, Vec::new()), Outcome::Farewell);
    assert_eq!(router.fire(at(4_063)), Outcome::Farewell);
    // The lowest priority's skew time, half an interval, and the farewell's repetition.
    assert_eq!(due(&router), 4_000_000 + 62_500 + 996_093 + 500_000);
    assert_eq!(router.fire(at(5_559)), Outcome::Unclaimed);
    assert_eq!(router.state(), &State::Initialize);

    let mut router = active();
    assert_eq!(
        router.leave(at(4_000), Departure::Handover, TAKEOVER, Vec::new()),
        Outcome::Farewell
    );
    assert_eq!(router.fire(at(4_063)), Outcome::Farewell);
    assert_eq!(router.fire(at(5_559)), Outcome::Unclaimed);
    assert!(matches!(router.state(), State::Active(_)));
}

/// Rule: only an active router can leave.
#[test]
fn a_backup_does_not_leave() {
    let mut router = backup(Preempt::Always);
    assert_eq!(router.leave(at(100), Departure::Stop, TAKEOVER, Vec::new()), Outcome::Nothing);
    assert_eq!(due(&router), 3_609_375);
}

/// Invariant 2: an active router that was held up for longer than the others wait yields to
/// whoever has taken over, whatever its priority; if nobody has, it goes on.
#[test]
fn an_active_router_that_overslept_listens_first() {
    let late = Span::from_micros(2_010_000 + 380_000);
    let mut router = active();
    router.wake(at(7_000));
    assert!(router.is_held_up());
    assert_eq!(hear(&mut router, 7_000, heard(11, 50)), Outcome::Overslept(late, heard(11, 50)));
    assert!(matches!(router.state(), State::Backup(_)));

    let mut router = active();
    router.wake(at(7_000));
    assert_eq!(router.fire(at(7_000)), Outcome::Advertise);
    assert!(!router.is_held_up());

    let mut router = active();
    router.wake(at(6_600));
    assert!(!router.is_held_up(), "the others have not given it up yet");
}

/// Invariant 2: after a suspension nothing that was said meanwhile can be heard, so an active
/// router listens anew, and a backup does.
#[test]
fn a_suspended_router_listens_anew() {
    let mut router = active();
    assert!(router.resume(at(100_000)));
    assert_eq!(due(&router), 103_609_375);
    let mut router = backup(Preempt::Always);
    assert_eq!(hear(&mut router, 0, heard(11, 200)), Outcome::Nothing);
    assert!(!router.resume(at(100_000)));
    assert_eq!(due(&router), 103_609_375);
}

/// Rule: silence counts from the arrival of the last packet, the timer from when it was heard.
#[test]
fn an_old_packet_is_old() {
    let mut router = backup(Preempt::Always);
    let own = address(10);
    assert_eq!(router.hear(at(2_000), at(1_500), heard(11, 200), own), Outcome::Nothing);
    assert_eq!(due(&router), 2_000_000 + 3_609_375);
    let why = Takeover::Silence(Some(address(11)), Span::from_millis(4_110));
    assert_eq!(router.fire(at(5_610)), Outcome::TakeOver(why));
}

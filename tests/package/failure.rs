//! What goes wrong with the active machine.

use std::time::Duration;

use super::lab::{VIP, within};
use super::pair::{Bound, Pair};

const PATIENCE: Duration = Duration::from_secs(60);

/// `kill -9`: systemd runs `vipd release`, so that the other machine need not wait, and starts the
/// daemon again. On a slow machine the kernel takes the address off before the release runs.
pub(crate) fn killed(pair: &mut Pair<'_>) {
    let kill = |pair: &mut Pair<'_>, active: usize| {
        pair.machines[active].does("systemctl kill --kill-whom=main --signal=KILL vipd");
    };
    pair.goes_through("kill -9", Bound::FAILOVER, kill, |pair, active| {
        let machine = &pair.machines[active];
        within(PATIENCE, "systemd starts it again", || machine.property("NRestarts") == "1");
        let journal = machine.journal();
        let released = format!("{VIP}/24 taken off eth0, priority 0 sent");
        let expired = format!("{VIP}/24 had gone from eth0 already");
        assert!(journal.contains(&released) || journal.contains(&expired), "{journal}");
    });
}

/// The daemon stands still: the kernel takes the address off, the other machine takes over, and
/// after ten seconds the watchdog replaces the daemon.
pub(crate) fn frozen(pair: &mut Pair<'_>) {
    // The address is the frozen machine's until the lease runs out.
    let bound = Bound { together: Duration::from_secs(6), ..Bound::FAILOVER };
    let freeze = |pair: &mut Pair<'_>, active: usize| {
        pair.machines[active].does("systemctl kill --kill-whom=main --signal=STOP vipd");
    };
    pair.goes_through("frozen", bound, freeze, |pair, active| {
        let machine = &pair.machines[active];
        let acted = "Watchdog timeout";
        within(PATIENCE, "the watchdog acts", || machine.journal().contains(acted));
    });
}

/// Its cable is pulled at the switch.
pub(crate) fn cut_off(pair: &mut Pair<'_>) {
    let cut = |pair: &mut Pair<'_>, active: usize| {
        pair.segment.cable(pair.machines[active].host(), "down");
        let expected = [": fault (", "link eth0 has no carrier"];
        pair.machines[active].reports(&expected);
        assert!(pair.is_free_of_it(active), "a machine without a link keeps the address");
    };
    pair.goes_through("link cut", Bound::FAILOVER, cut, |pair, active| {
        pair.segment.cable(pair.machines[active].host(), "up");
    });
}

/// Its plug is pulled.
pub(crate) fn without_power(pair: &mut Pair<'_>) {
    let cut = |pair: &mut Pair<'_>, active: usize| {
        pair.machines[active].cut_power(&pair.segment);
    };
    pair.goes_through("power cut", Bound::FAILOVER, cut, |pair, active| {
        pair.machines[active].boot();
    });
}

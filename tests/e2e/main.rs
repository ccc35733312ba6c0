//! Real agents on a real segment: `vipd run` as it is shipped, in network namespaces.
//!
//! No root is needed where the kernel allows user namespaces.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests of the running daemon need clocks, files, sockets and threads"
)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod addresses;
mod demo;
mod election;
mod failure;
mod forged;
mod forgery;
mod frames;
mod interfaces;
#[path = "../lab/mod.rs"]
mod lab;
mod links;
mod preemption;
mod readme;
mod refusal;
mod release;
mod replay;
mod supervision;
mod tshark;

fn main() -> std::process::ExitCode {
    lab::run(&lab::cases![
        demo::to_the_end,
        election::first_start,
        election::alone,
        election::equal_priorities,
        election::three_nodes,
        election::load_sharing,
        failure::crash,
        failure::crash_leftover,
        failure::orderly_stop,
        failure::frozen_active,
        failure::frozen_backup,
        links::down_at_the_active_node,
        links::down_at_the_backup,
        links::cable_pulled,
        links::partition,
        links::hold_down,
        interfaces::late,
        interfaces::replaced,
        interfaces::renamed,
        preemption::always,
        preemption::never,
        preemption::after_a_delay,
        addresses::deleted,
        addresses::flushed,
        addresses::deleted_unheard,
        addresses::options,
        forged::active_is_unmoved,
        forged::backup_is_unmoved,
        frames::version_2,
        frames::version_3,
        supervision::ready_and_status,
        supervision::watchdog,
        supervision::stopping,
        readme::configuration,
        demo::interrupted,
        demo::killed,
        refusal::every_mistake_at_once,
        refusal::unreadable,
        refusal::unknown_node,
        refusal::missing_capability,
        replay::of_a_real_run,
        release::exactly_what_is_written_down,
        release::nothing_is_left,
        release::refused_while_an_agent_runs,
        release::damaged,
        release::not_removed,
        release::swept_at_the_start,
        release::killed,
    ])
}

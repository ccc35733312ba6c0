//! vipd together with other VRRP routers: real processes of Debian's packages.
//!
//! A program that is missing fails its cases; nothing is skipped.
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

mod frr;
mod keepalived;
#[path = "../lab/mod.rs"]
mod lab;
mod router;
mod scenario;
mod virtual_mac;
mod with_frr;
mod with_keepalived;

fn main() -> std::process::ExitCode {
    lab::run(&lab::cases![
        with_keepalived::among_themselves,
        with_keepalived::v2_vipd_preferred,
        with_keepalived::v2_keepalived_preferred,
        with_keepalived::v3_vipd_preferred,
        with_keepalived::v3_keepalived_preferred,
        with_keepalived::password_vipd_preferred,
        with_keepalived::password_keepalived_preferred,
        with_keepalived::vipd_does_not_preempt,
        with_keepalived::keepalived_does_not_preempt,
        with_keepalived::reunion_vipd_preferred,
        with_keepalived::reunion_keepalived_preferred,
        with_keepalived::reunion_of_equals_vipd_higher,
        with_keepalived::reunion_of_equals_keepalived_higher,
        with_keepalived::replaced_one_by_one,
        with_keepalived::ipv6_vipd_preferred,
        with_keepalived::ipv6_keepalived_preferred,
        with_keepalived::ipv6_without_link_local,
        with_keepalived::ipv6_lists_differ,
        with_keepalived::ipv6_reunion,
        with_keepalived::dual_vipd_preferred,
        with_keepalived::dual_keepalived_preferred,
        with_keepalived::dual_reunion,
        with_keepalived::unicast_vipd_preferred,
        with_keepalived::unicast_keepalived_preferred,
        with_keepalived::unicast_ipv6_vipd_preferred,
        with_keepalived::unicast_ipv6_keepalived_preferred,
        with_keepalived::unicast_password,
        with_keepalived::shortest_interval_vipd_preferred,
        with_keepalived::shortest_interval_keepalived_preferred,
        with_keepalived::keepalived_learns_the_interval,
        with_keepalived::vipd_learns_the_interval,
        with_frr::with_keepalived,
        with_frr::v2_vipd_preferred,
        with_frr::v2_frr_preferred,
        with_frr::v3_vipd_preferred,
        with_frr::v3_frr_preferred,
        with_frr::vipd_does_not_preempt,
        with_frr::frr_does_not_preempt,
        with_frr::reunion_vipd_preferred,
        with_frr::reunion_frr_preferred,
        with_frr::ipv6_vipd_preferred,
        with_frr::ipv6_frr_preferred,
        with_frr::ipv6_without_link_local,
        with_frr::dual_vipd_preferred,
        with_frr::dual_frr_preferred,
        with_frr::shortest_interval_vipd_preferred,
        with_frr::shortest_interval_frr_preferred,
        with_frr::frr_learns_the_interval,
        with_frr::vipd_learns_the_interval,
        virtual_mac::v2_frr_preferred,
        virtual_mac::vipd_before_frr,
        virtual_mac::frr_before_vipd,
        virtual_mac::ipv6_vipd_before_frr,
        virtual_mac::ipv6_frr_before_vipd,
        virtual_mac::vipd_before_keepalived,
        virtual_mac::keepalived_before_vipd,
        virtual_mac::ipv6_vipd_before_keepalived,
        virtual_mac::ipv6_keepalived_before_vipd,
        virtual_mac::reunion_with_frr,
    ])
}

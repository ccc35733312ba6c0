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
mod authentication;
mod condition;
mod conflict;
mod copies;
mod demo;
mod devices;
mod doctor;
mod doctor_paths;
mod election;
mod facts;
mod failure;
mod first;
mod floods;
mod forged;
mod forgery;
mod frames;
mod gaps;
mod handover;
mod healing;
mod hooks;
mod instruments;
mod interfaces;
mod intervals;
mod ipv6;
mod kernel_lock;
#[path = "../lab/mod.rs"]
mod lab;
mod links;
mod many;
mod observers;
mod opening;
mod operator;
mod owner;
mod ownership;
mod paths;
mod planted;
mod preemption;
mod random;
mod raw;
mod readme;
mod refusal;
mod release;
mod reload;
mod replay;
mod routes;
mod scripts;
mod serve;
mod sockets;
mod starvation;
mod supervision;
mod topology;
mod tracks;
mod tshark;
mod virtual_mac;

fn main() -> std::process::ExitCode {
    if lab::kernel::is_inside() { lab::kernel::run(devices::CASES) } else { lab::run(CASES) }
}

const CASES: &[lab::Case] = &lab::cases![
    random::sequences,
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
    failure::frozen_and_not_replaced,
    failure::frozen_backup,
    instruments::gap,
    instruments::two_holders,
    ownership::two_owners,
    ownership::let_go_too_early,
    ownership::nobody_takes_over,
    ownership::answers_of_others,
    ownership::in_order,
    healing::of_a_partition,
    gaps::frozen_for_10_s,
    gaps::frozen_for_5_s,
    gaps::frozen_for_2_s,
    gaps::killed,
    gaps::killed_and_released,
    gaps::stopped,
    gaps::preempted,
    ipv6::handed_over,
    ipv6::killed,
    ipv6::released,
    ipv6::reloaded,
    ipv6::without_link_local,
    ipv6::frames,
    ipv6::no_source,
    ipv6::both_families,
    paths::dual_handover,
    paths::dual_killed,
    paths::dual_released,
    paths::unicast,
    paths::unicast_strangers,
    paths::two_paths,
    paths::carrier_lost,
    paths::two_paths_on_one_segment,
    virtual_mac::moves,
    virtual_mac::moves_ipv6,
    virtual_mac::both_families,
    virtual_mac::partition,
    virtual_mac::partition_ipv6,
    virtual_mac::released,
    virtual_mac::used_again,
    virtual_mac::foreign_device,
    virtual_mac::turned_on_and_off,
    virtual_mac::interface_replaced,
    virtual_mac::tampered_with,
    virtual_mac::settings,
    links::down_at_the_active_node,
    links::down_at_the_backup,
    links::cable_pulled,
    links::partition,
    links::hold_down,
    interfaces::late,
    interfaces::replaced,
    interfaces::renamed,
    handover::there_and_back,
    handover::many_times,
    handover::nobody_there,
    handover::at_the_backup,
    handover::unknown_names,
    handover::stopped_meanwhile,
    handover::control_socket,
    handover::replay,
    serve::answers,
    serve::foreign_names,
    serve::never_stale,
    serve::events,
    serve::slow_clients,
    serve::port_taken,
    observers::browser,
    observers::prometheus,
    sockets::abuse,
    sockets::strangers,
    opening::beside_a_move,
    opening::small_mtu,
    opening::refused_at_the_start,
    opening::lists_replaced,
    opening::many_groups,
    opening::open_files,
    operator::looking,
    operator::standby_and_back,
    operator::standby_alone,
    operator::standby_called_off,
    operator::permissions,
    operator::reload,
    operator::following,
    operator::nobody_there,
    doctor::healthy,
    doctor::nftables,
    doctor::output_dropped,
    doctor::iptables,
    doctor::another_group,
    doctor::drift,
    doctor::versions,
    doctor::third_machine,
    doctor::multicast,
    doctor::bridge_of_this_machine,
    doctor::nobody_else,
    doctor::settings,
    doctor::secondary,
    doctor::virtual_mac,
    doctor::checks_hooks_standby,
    doctor::daemon_and_file,
    doctor::programs_around,
    doctor::without_root,
    doctor::authentication,
    doctor::refused_advertisements,
    doctor::punctuality,
    doctor::nobody_listens,
    doctor::unanswered,
    doctor::clock,
    doctor::without_ipv6,
    doctor_paths::healthy,
    doctor_paths::virtual_mac,
    doctor_paths::ipv6_dropped,
    doctor_paths::ipv6_output_dropped,
    doctor_paths::second_path_dropped,
    doctor_paths::second_path_broken,
    doctor_paths::group_not_joined,
    doctor_paths::another_multicast_group,
    doctor_paths::third_machine_ipv6,
    doctor_paths::unanswered_ipv6,
    doctor_paths::unicast_peer_dropped,
    doctor_paths::unicast_ipv6_dropped,
    first::unattended,
    first::asked,
    first::refused,
    first::not_allowed,
    preemption::always,
    preemption::never,
    preemption::after_a_delay,
    addresses::deleted,
    addresses::flushed,
    addresses::deleted_unheard,
    addresses::options,
    routes::move_along,
    routes::put_back,
    routes::released,
    routes::swept,
    routes::reloaded,
    routes::of_somebody_else,
    routes::elsewhere,
    kernel_lock::held_by_others,
    many::thousand,
    many::flushed,
    many::at_rest,
    forged::active_is_unmoved,
    forged::backup_is_unmoved,
    forged::over_ipv6,
    floods::forged_signatures,
    floods::wrong_passwords,
    floods::other_virtual_routers,
    floods::conflicts_and_questions,
    authentication::forged_and_recorded,
    authentication::turned_on_and_rotated,
    authentication::released_when_dead,
    authentication::credential_and_stranger,
    authentication::refused_keys,
    copies::of_another_segment,
    copies::of_another_ipv6_segment,
    frames::version_2,
    frames::version_3,
    frames::checksum_styles,
    intervals::shortest,
    owner::reunion,
    owner::two_of_them,
    supervision::ready_and_status,
    supervision::watchdog,
    supervision::stopping,
    conflict::another_station,
    conflict::another_neighbour,
    conflict::two_active,
    devices::bonds,
    devices::bond_addresses,
    devices::vlans,
    devices::kernel_without_ipv6,
    topology::many_interfaces,
    topology::bridge,
    condition::held_up,
    condition::real_time,
    condition::refused,
    readme::configuration,
    demo::interrupted,
    demo::killed,
    facts::own_address,
    facts::address_elsewhere,
    facts::owners_addresses,
    facts::key,
    facts::programs,
    facts::users_and_groups,
    facts::hardly_meant,
    refusal::every_mistake_at_once,
    refusal::unreadable,
    refusal::missing_capability,
    replay::of_a_real_run,
    reload::from_nothing,
    reload::bad_file,
    reload::in_place,
    reload::again_and_again,
    reload::planned,
    reload::moved_address,
    hooks::in_order,
    hooks::of_a_group,
    hooks::before_claim,
    hooks::before_release,
    hooks::refused,
    release::exactly_what_is_written_down,
    release::nothing_is_left,
    release::refused_while_an_agent_runs,
    release::damaged,
    release::not_removed,
    release::swept_at_the_start,
    release::killed,
    release::renamed,
    planted::files,
    planted::settings,
    planted::secrets,
    planted::directories,
    planted::run_all_the_same,
    planted::standby,
    tracks::tcp,
    tracks::interface,
    tracks::file,
    tracks::process,
    tracks::systemd_unit,
    tracks::ping,
    tracks::arp,
    tracks::script,
    tracks::reload_while_a_look_hangs,
    scripts::misbehaving,
    scripts::stopped_meanwhile,
    scripts::without_capabilities,
    scripts::as_in_the_unit,
    scripts::refused,
    tracks::rhythm,
    // The last one: it takes the processor from all others.
    starvation::of_the_processor,
];

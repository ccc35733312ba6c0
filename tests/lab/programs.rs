//! Which programs are tested.

use std::env;

/// `vipd` or `vipctl`: of the directory `VIPD_PROGRAMS`, where `tests/run` has what is shipped, or as
/// they were built beside this test.
pub(crate) fn program(name: &str) -> String {
    if let Ok(directory) = env::var("VIPD_PROGRAMS") {
        return format!("{directory}/{name}");
    }
    match name {
        "vipd" => env!("CARGO_BIN_EXE_vipd").to_owned(),
        "vipctl" => env!("CARGO_BIN_EXE_vipctl").to_owned(),
        other => panic!("no program of ours: {other}"),
    }
}

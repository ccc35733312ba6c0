//! The agent. See [`vipd::daemon`].

fn main() -> std::process::ExitCode {
    vipd::daemon::main()
}

//! The operator's tool. See [`vipd::ctl`].

fn main() -> std::process::ExitCode {
    vipd::ctl::main()
}

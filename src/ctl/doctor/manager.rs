//! Programs that manage the interface, and take off what they have not put there.

use std::collections::BTreeMap;

use super::finding::{Finding, Kind, Severity};
use super::system::System;

/// What manages an interface, with the setting that keeps it from our addresses. `index` is the
/// kernel's number of the interface.
pub(super) fn judge(system: &System, interface: &str, index: u32) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(networkd(system, interface, index));
    findings.extend(network_manager(system, interface, index));
    findings.extend(dhcpcd(system, interface));
    findings
}

/// The value of a key in a section, as systemd reads its files: the last one counts.
fn last_value(text: &str, section: &str, key: &str) -> Option<String> {
    let mut inside = false;
    let mut value = None;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            inside = name.trim_end_matches(']') == section;
        } else if let Some((name, one)) = line.split_once('=').filter(|_| inside)
            && name.trim() == key
        {
            value = Some(one.trim().to_owned());
        }
    }
    value
}

/// A plain `KEY=value` of a file without sections.
fn plain_value(text: &str, key: &str) -> Option<String> {
    let mut lines = text.lines().filter_map(|line| line.trim().split_once('='));
    lines.find(|(name, _)| *name == key).map(|(_, value)| value.trim_matches('"').to_owned())
}

fn networkd(system: &System, interface: &str, index: u32) -> Vec<Finding> {
    let Some(state) = system.read(&format!("/run/systemd/netif/links/{index}")) else {
        return Vec::new();
    };
    let managed = plain_value(&state, "ADMIN_STATE").is_some_and(|state| state != "unmanaged");
    let Some(file) = plain_value(&state, "NETWORK_FILE").filter(|_| managed) else {
        return Vec::new();
    };
    let drop_ins = plain_value(&state, "NETWORK_FILE_DROPINS").unwrap_or_default();
    let files = std::iter::once(file.clone()).chain(drop_ins.split_whitespace().map(str::to_owned));
    let keep = files
        .filter_map(|file| last_value(&system.read(&file)?, "Network", "KeepConfiguration"))
        .fold(None, |_, later| Some(later));
    let mut findings = Vec::new();
    if !matches!(keep.as_deref(), Some("static" | "yes" | "true")) {
        let what = format!(
            "systemd-networkd takes vipd's addresses off {interface} when it restarts or the link \
             comes back"
        );
        let name = file.rsplit('/').next().unwrap_or_default();
        let drop_in = format!("/etc/systemd/network/{name}.d/vipd.conf");
        findings.push(
            Finding::new(Severity::Warning, Kind::NetworkdAddresses, what)
                .because(format!(
                    "{file}: KeepConfiguration={}",
                    keep.as_deref().unwrap_or("(not set)")
                ))
                .because("vipd puts them back within 100 ms, but connections may break")
                .mend(format!(
                    "mkdir -p {drop_in_directory} && printf \
                     '[Network]\\nKeepConfiguration=static\\n' > {drop_in}",
                    drop_in_directory = drop_in.trim_end_matches("/vipd.conf")
                ))
                .mend("networkctl reload"),
        );
    }
    findings.extend(foreign_routes(system));
    findings
}

/// Whether networkd leaves others' routes and rules alone: the package ships a file for that.
fn foreign_routes(system: &System) -> Option<Finding> {
    let mut drop_ins = BTreeMap::new();
    for directory in ["/usr/lib", "/usr/local/lib", "/run", "/etc"] {
        let directory = format!("{directory}/systemd/networkd.conf.d");
        for name in
            system.names(&directory).into_iter().filter(|name| name.strip_suffix(".conf").is_some())
        {
            // One of the same name in a later directory replaces it.
            drop_ins.insert(name.clone(), format!("{directory}/{name}"));
        }
    }
    let files =
        std::iter::once("/etc/systemd/networkd.conf".to_owned()).chain(drop_ins.into_values());
    let texts: Vec<String> = files.filter_map(|file| system.read(&file)).collect();
    let value = |key: &str| texts.iter().rev().find_map(|text| last_value(text, "Network", key));
    let keys = ["ManageForeignRoutes", "ManageForeignRoutingPolicyRules"];
    let off =
        |value: Option<String>| matches!(value.as_deref(), Some("no" | "false" | "off" | "0"));
    let managed: Vec<&str> = keys.into_iter().filter(|key| !off(value(key))).collect();
    if managed.is_empty() {
        return None;
    }
    let what = "systemd-networkd takes routes and rules off that it has not made, those of \
                floating addresses among them";
    Some(
        Finding::new(Severity::Warning, Kind::NetworkdRoutes, what)
            .because_all(
                managed
                    .iter()
                    .map(|key| format!("{key} is not 'no' in networkd.conf or its drop-ins")),
            )
            .mend(
                "the package's /usr/lib/systemd/networkd.conf.d/50-vipd.conf says so: is it \
                 there, and is there no file of the same name in /etc or /run, nor a later one \
                 against it?",
            )
            .mend("systemctl restart systemd-networkd"),
    )
}

fn network_manager(system: &System, interface: &str, index: u32) -> Option<Finding> {
    let state = system.read(&format!("/run/NetworkManager/devices/{index}"))?;
    if last_value(&state, "device", "managed").as_deref() != Some("true") {
        return None;
    }
    let what = format!(
        "NetworkManager manages {interface}, and takes vipd's addresses off when its connection \
         is activated again"
    );
    Some(
        Finding::new(Severity::Note, Kind::NetworkManager, what)
            .because("vipd puts them back within 100 ms")
            .mend(format!(
                "if something else gives {interface} its own address: printf \
                 '[keyfile]\\nunmanaged-devices=interface-name:{interface}\\n' > \
                 /etc/NetworkManager/conf.d/60-vipd.conf && nmcli general reload"
            ))
            .mend(
                "else: change its connection with nmcli device reapply, which leaves other \
                 addresses alone",
            ),
    )
}

fn dhcpcd(system: &System, interface: &str) -> Option<Finding> {
    let of_it = [format!("/run/dhcpcd/{interface}.pid"), format!("/run/dhcpcd-{interface}.pid")];
    let of_all = ["/run/dhcpcd/pid".to_owned(), "/run/dhcpcd.pid".to_owned()];
    let running = of_it.into_iter().chain(of_all).find(|path| system.path(path).exists())?;
    let configuration = system.read("/etc/dhcpcd.conf").unwrap_or_default();
    let denied = configuration.lines().map(str::trim).any(|line| {
        line.strip_prefix("denyinterfaces").is_some_and(|names| {
            names.split(|c: char| c.is_whitespace() || c == ',').any(|name| name == interface)
        })
    });
    if denied {
        return None;
    }
    let what = format!("dhcpcd manages {interface}, and may take vipd's addresses for its own");
    Some(
        Finding::new(Severity::Note, Kind::Dhcpcd, what)
            .because(format!(
                "{running} is there, and /etc/dhcpcd.conf has no denyinterfaces {interface}"
            ))
            .mend(format!(
                "if {interface} has a fixed address: echo 'denyinterfaces {interface}' >> \
                 /etc/dhcpcd.conf && systemctl restart dhcpcd"
            )),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    /// A root of the test's own, gone at its end.
    struct Root(PathBuf);

    impl Root {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let root =
                std::env::temp_dir().join(format!("vipctl-root-{}-{name}", std::process::id()));
            let this = Self(root);
            for (path, text) in files {
                this.write(path, text);
            }
            this
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn kinds(&self) -> Vec<Kind> {
            judge(&System::new(&self.0), "eth0", 2).into_iter().map(|found| found.kind).collect()
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const LINK: (&str, &str) = (
        "/run/systemd/netif/links/2",
        "# This is private data. Do not \
         parse.\nADMIN_STATE=configured\nOPER_STATE=routable\nNETWORK_FILE=/etc/systemd/network/\
         10-eth0.network\n",
    );
    const NETWORK: (&str, &str) =
        ("/etc/systemd/network/10-eth0.network", "[Match]\nName=eth0\n[Network]\nDHCP=yes\n");
    const OURS: (&str, &str) = (
        "/usr/lib/systemd/networkd.conf.d/50-vipd.conf",
        include_str!("../../../packaging/networkd/50-vipd.conf"),
    );

    /// Rule: networkd is named with the file that makes it take addresses off, and no more once
    /// that says to keep them.
    #[test]
    fn networkd_and_addresses() {
        let root = Root::new("addresses", &[LINK, NETWORK, OURS]);
        let [found] = &judge(&System::new(&root.0), "eth0", 2)[..] else { panic!() };
        assert_eq!(found.kind, Kind::NetworkdAddresses);
        assert!(found.mend[0].contains("> /etc/systemd/network/10-eth0.network.d/vipd.conf"));
        root.write(NETWORK.0, "[Network]\nKeepConfiguration=static\n");
        assert_eq!(root.kinds(), []);
    }

    /// Rule: the drop-in of the package counts, unless the administrator has put another one of its
    /// name in /etc.
    #[test]
    fn networkd_and_routes() {
        let keep = (NETWORK.0, "[Network]\nKeepConfiguration=yes\n");
        let root = Root::new("routes", &[LINK, keep]);
        assert_eq!(root.kinds(), [Kind::NetworkdRoutes]);
        root.write(OURS.0, OURS.1);
        assert_eq!(root.kinds(), []);
        root.write("/etc/systemd/networkd.conf.d/50-vipd.conf", "");
        assert_eq!(root.kinds(), [Kind::NetworkdRoutes]);
    }

    /// Rule: an interface that networkd leaves alone is none of its business.
    #[test]
    fn unmanaged() {
        let state = "ADMIN_STATE=unmanaged\nOPER_STATE=routable\n";
        assert_eq!(Root::new("unmanaged", &[(LINK.0, state), NETWORK]).kinds(), []);
    }

    /// Rule: NetworkManager and dhcpcd are named while they manage the interface.
    #[test]
    fn others() {
        let device = "/run/NetworkManager/devices/2";
        let root = Root::new("others", &[(device, "[device]\nmanaged=true\n")]);
        assert_eq!(root.kinds(), [Kind::NetworkManager]);
        root.write(device, "[device]\nmanaged=false\n");
        root.write("/run/dhcpcd/eth0.pid", "1");
        assert_eq!(root.kinds(), [Kind::Dhcpcd]);
        root.write("/etc/dhcpcd.conf", "denyinterfaces wlan0 eth0\n");
        assert_eq!(root.kinds(), []);
    }
}

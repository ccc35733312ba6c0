//! tshark as the judge of what is on the wire.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Stands between the fields of a line.
const SEPARATOR: char = '|';

/// What tshark is told: verify checksums, VRRPv3's over IPv4 with the pseudo-header, and don't be
/// astonished that an address moves to another Ethernet address.
const PREFERENCES: [&str; 3] =
    ["ip.check_checksum:TRUE", "vrrp.v3_checksum_as_in_v2:FALSE", "arp.detect_duplicate_ips:FALSE"];

/// A packet: some of tshark's fields with their values as text, empty where there is none.
pub(crate) type Dissected = BTreeMap<String, String>;

/// The `fields` of the packets that match `filter`.
pub(crate) fn dissect(pcap: &Path, filter: &str, fields: &[&str]) -> Vec<Dissected> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(pcap).args(["-n", "-Y", filter, "-T", "fields"]);
    command.args(["-E", &format!("separator={SEPARATOR}")]);
    for preference in PREFERENCES {
        command.args(["-o", preference]);
    }
    for field in fields {
        command.args(["-e", field]);
    }
    // Whoever runs the tests may have preferences of their own.
    command.env("WIRESHARK_CONFIG_DIR", pcap.with_extension("tshark"));
    let output = command.output().expect("tshark, from the package of that name");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tshark failed: {complaint}");
    let text = String::from_utf8(output.stdout).expect("text");
    let packet = |line: &str| {
        let values = line.split(SEPARATOR).map(str::to_owned);
        fields.iter().map(ToString::to_string).zip(values).collect()
    };
    text.lines().map(packet).collect()
}

/// Fails unless every packet has these values.
#[track_caller]
pub(crate) fn each_has(packets: &[Dissected], expected: &[(&str, &str)]) {
    for packet in packets {
        for (field, value) in expected {
            assert_eq!(packet[*field], *value, "{field} of {packet:?}");
        }
    }
}

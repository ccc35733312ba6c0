//! The kernel's own lateness: the time from the end of an address's lifetime to its removal.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use netlink_packet_route::address::{AddressAttribute, AddressFlags, CacheInfo};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use rtnetlink::Handle;
use tokio::time::sleep;
use vipd::model::Family;

use crate::lab::{Host, Lab, Segment, is_at};

/// The time between two looks for the address.
const POLL: Duration = Duration::from_millis(5);

/// After this time an address is taken for one that stays.
const LIMIT: Duration = Duration::from_secs(20);

/// The rows of the table: a family and a lifetime in seconds.
const ROWS: [(Family, u32); 4] =
    [(Family::V4, 1), (Family::V4, 4), (Family::V6, 1), (Family::V6, 4)];

/// The number of trials of each case.
const TRIALS: usize = 20;

/// The number of addresses that are watched at once, each in a separate network namespace: in one
/// namespace they would disturb each other.
const AT_ONCE: u8 = 8;

/// One way to let an address end.
#[derive(Clone, Copy)]
struct Job {
    /// The number of its row.
    row: usize,
    /// True if another address of the namespace is changed within the last tenth of a second.
    disturbed: bool,
}

/// The figures of a row, in milliseconds.
#[derive(Clone, Default)]
struct Row {
    alone: Vec<f64>,
    disturbed: Vec<f64>,
}

/// Measures and renders the table.
pub(crate) fn table() -> String {
    let lab = Lab::new("lifetimes");
    let segment = Segment::new(&lab);
    let hosts: Vec<Host> = (1..=AT_ONCE).map(|number| segment.host(number + 10)).collect();
    let jobs = (0..TRIALS).flat_map(|_| 0..ROWS.len());
    let jobs = jobs.flat_map(|row| [false, true].map(|disturbed| Job { row, disturbed }));
    let jobs = Mutex::new(jobs);
    let rows = Mutex::new(vec![Row::default(); ROWS.len()]);
    let next = || jobs.lock().expect("the jobs").next();
    thread::scope(|scope| {
        for host in &hosts {
            let (next, rows) = (&next, &rows);
            scope.spawn(move || {
                while let Some(job) = next() {
                    let late = host.inside(|| lateness(job));
                    let mut rows = rows.lock().expect("the figures");
                    let row = &mut rows[job.row];
                    if job.disturbed { &mut row.disturbed } else { &mut row.alone }.push(late);
                }
            });
        }
    });
    render(rows.into_inner().expect("the figures"))
}

/// Adds an address and waits for its end, in the network namespace of this thread. The result is
/// in milliseconds after the end of its lifetime.
fn lateness(job: Job) -> f64 {
    let (family, seconds) = ROWS[job.row];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().expect("a netlink socket");
        tokio::spawn(connection);
        let [address, other]: [IpAddr; 2] = match family {
            Family::V4 => ["192.0.2.1", "192.0.2.2"],
            Family::V6 => ["2001:db8::1", "2001:db8::2"],
        }
        .map(|text| text.parse().expect("an address"));
        let lifetime = Duration::from_secs(seconds.into());
        put(&handle, address, seconds).await;
        let start = Instant::now();
        if job.disturbed {
            sleep(lifetime.saturating_sub(Duration::from_millis(fastrand::u64(20..100)))).await;
            put(&handle, other, 1_000 + fastrand::u32(..100)).await;
        }
        while holds(address) {
            assert!(start.elapsed() < LIMIT, "{address} is there after {LIMIT:?}");
            sleep(POLL).await;
        }
        (start.elapsed().as_secs_f64() - lifetime.as_secs_f64()) * 1e3
    })
}

async fn put(handle: &Handle, address: IpAddr, lifetime: u32) {
    let index = if_nametoindex("eth0").expect("eth0");
    let mut request = handle.address().add(index, address, 24).replace();
    let mut lifetimes = CacheInfo::default();
    lifetimes.ifa_valid = lifetime;
    lifetimes.ifa_preferred = lifetime;
    let attributes = &mut request.message_mut().attributes;
    attributes.push(AddressAttribute::CacheInfo(lifetimes));
    if address.is_ipv6() {
        attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    request.execute().await.expect("an address on eth0");
}

fn holds(address: IpAddr) -> bool {
    let mut interfaces = getifaddrs().expect("the list of addresses");
    interfaces.any(|interface| is_at(&interface, address))
}

fn render(rows: Vec<Row>) -> String {
    let mut text = format!(
        "Time from the end of the lifetime to the removal: median / worst of {TRIALS} \
         addresses.\n\n\
         | | nothing else happens | another address is changed shortly before |\n|---|---|---|\n"
    );
    for ((family, seconds), row) in ROWS.into_iter().zip(rows) {
        let (alone, disturbed) = (cell(row.alone), cell(row.disturbed));
        let _ = writeln!(text, "| {family}, a lifetime of {seconds} s | {alone} | {disturbed} |");
    }
    text
}

fn cell(mut late: Vec<f64>) -> String {
    late.sort_by(f64::total_cmp);
    let worst = late.last().copied().unwrap_or_default();
    format!("{:.0} ms / {worst:.0} ms", late[late.len() / 2])
}

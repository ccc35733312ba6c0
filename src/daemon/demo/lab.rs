//! The laboratory: a bridge in this process's network namespace, and machines plugged into it,
//! each a network namespace with an `eth0`.

use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

use futures_util::TryStreamExt;
use nix::sched::{CloneFlags, setns, unshare};
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::{Handle, LinkBridge, LinkUnspec, LinkVeth};
use tokio::task::JoinHandle;

use crate::model::Mac;

/// The length of the segment's prefix.
pub(super) const PREFIX: u8 = 24;
/// The interface of every machine.
pub(super) const INTERFACE: &str = "eth0";

/// The network namespace of the calling thread.
const NAMESPACE: &str = "/proc/thread-self/ns/net";

/// A machine to be plugged in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    /// Its name, and that of the bridge's port; at most 15 bytes.
    pub name: &'static str,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its Ethernet address, the same after each boot.
    pub mac: Mac,
}

/// What could not be built.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {error}")]
pub(super) struct LabError {
    what: String,
    error: io::Error,
}

/// For errors that don't say what was being done.
pub(super) trait During<T> {
    /// Says what was being done.
    fn during(self, what: impl FnOnce() -> String) -> Result<T, LabError>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T, LabError> {
        self.map_err(|error| LabError { what: what(), error })
    }
}

impl<T> During<T> for Result<T, rtnetlink::Error> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T, LabError> {
        self.map_err(|error| match error {
            rtnetlink::Error::NetlinkError(message) => message.to_io(),
            other => io::Error::other(other),
        })
        .during(what)
    }
}

/// The bridge. It goes, with all that is plugged into it, when the process ends.
#[derive(Debug)]
pub(super) struct Lab {
    home: Namespace,
    netlink: Netlink,
    bridge: u32,
}

impl Lab {
    /// Builds the bridge in this thread's network namespace, which must be our own.
    pub(super) async fn build() -> Result<Self, LabError> {
        let home = Namespace::current().during(|| format!("{NAMESPACE} (is /proc mounted?)"))?;
        let netlink = Netlink::open().during(|| "a netlink socket".to_owned())?;
        netlink.add(LinkBridge::new("bridge").build(), "a bridge").await?;
        let bridge = netlink.index("bridge").await?;
        Ok(Self { home, netlink, bridge })
    }

    /// Boots a machine: a namespace with loopback and an `eth0` that is plugged into the bridge.
    pub(super) async fn plug_in(&self, machine: Machine) -> Result<Namespace, LabError> {
        let Machine { name, .. } = machine;
        let namespace = self.home.beside().during(|| format!("a network namespace for {name}"))?;
        let far_name = format!("{name}-far");
        let pair = LinkVeth::new(name, &far_name).controller(self.bridge).up().build();
        self.netlink.add(pair, "a pair of virtual Ethernet devices").await?;
        let far = self.netlink.index(&far_name).await?;
        let moved = LinkUnspec::new_with_index(far)
            .address(machine.mac.0.to_vec())
            .setns_by_fd(namespace.0.as_raw_fd())
            .build();
        self.netlink.change(moved, &far_name).await?;

        let inside = self.inside("a netlink socket", &namespace, Netlink::open)?;
        let loopback = inside.index("lo").await?;
        inside.change(LinkUnspec::new_with_index(loopback).up().build(), "lo").await?;
        let ethernet = inside.index(&far_name).await?;
        let named = LinkUnspec::new_with_index(ethernet).name(INTERFACE).build();
        inside.change(named, &far_name).await?;
        let address = machine.address.into();
        let added = inside.handle.address().add(ethernet, address, PREFIX).execute().await;
        added.during(|| format!("address {address} on {name}"))?;
        inside.change(LinkUnspec::new_with_index(ethernet).up().build(), INTERFACE).await?;
        Ok(namespace)
    }

    /// Takes a machine's cable away, for good: [`Lab::plug_in`] makes a new one.
    pub(super) async fn unplug(&self, machine: Machine) -> Result<(), LabError> {
        let port = self.netlink.index(machine.name).await?;
        let deleted = self.netlink.handle.link().del(port).execute().await;
        deleted.during(|| format!("the cable of {}", machine.name))
    }

    /// Does something in a machine's namespace: sockets that are opened and processes that are
    /// started there stay there.
    pub(super) fn inside<T>(
        &self,
        what: &str,
        namespace: &Namespace,
        work: impl FnOnce() -> io::Result<T>,
    ) -> Result<T, LabError> {
        let entered = namespace.enter();
        let done = entered.and_then(|()| {
            let done = work();
            self.home.enter()?;
            done
        });
        done.during(|| what.to_owned())
    }
}

/// A network namespace, for as long as this or a process or a socket in it exists.
#[derive(Debug)]
pub(super) struct Namespace(File);

impl Namespace {
    fn current() -> io::Result<Self> {
        File::open(NAMESPACE).map(Self)
    }

    /// A new namespace; the thread stays in this one, in which it is.
    fn beside(&self) -> io::Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let made = Self::current();
        self.enter()?;
        made
    }

    fn enter(&self) -> io::Result<()> {
        Ok(setns(&self.0, CloneFlags::CLONE_NEWNET)?)
    }
}

/// A route netlink socket of the namespace in which it was opened.
#[derive(Debug)]
struct Netlink {
    handle: Handle,
    connection: JoinHandle<()>,
}

impl Netlink {
    fn open() -> io::Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        Ok(Self { handle, connection: tokio::spawn(connection) })
    }

    async fn add(&self, link: LinkMessage, what: &str) -> Result<(), LabError> {
        let added = self.handle.link().add(link).execute().await;
        added.during(|| format!("{what} (if the kernel lacks it: sudo modprobe bridge veth)"))
    }

    async fn change(&self, link: LinkMessage, name: &str) -> Result<(), LabError> {
        self.handle.link().change(link).execute().await.during(|| format!("setting up {name}"))
    }

    async fn index(&self, name: &str) -> Result<u32, LabError> {
        let found = self.handle.link().get().match_name(name).execute().try_next().await;
        let link = found.during(|| format!("looking for {name}"))?;
        let link = link.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
        Ok(link.during(|| format!("link {name}"))?.header.index)
    }
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

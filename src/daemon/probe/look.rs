//! One look: which kind it is.

use super::desk::Desk;
use super::{
    arp, dns, file, http, interface, mysql, ping, postgres, process, redis, script, systemd_unit,
    tcp,
};
use crate::engine::ProbeResult;
use crate::model::{Probe, TrackConfig};

/// Looks once. The caller bounds how long that may take.
pub(crate) async fn look(config: &TrackConfig, desk: &Desk) -> ProbeResult {
    match &config.probe {
        Probe::Tcp(probe) => tcp::look(probe, desk).await,
        Probe::Process(probe) => process::look(probe, desk).await,
        Probe::SystemdUnit(probe) => systemd_unit::look(probe, desk).await,
        Probe::Interface(probe) => interface::look(probe).await,
        Probe::Ping(probe) => ping::look(probe, desk).await,
        Probe::Arp(probe) => arp::look(probe, desk).await,
        Probe::File(probe) => file::look(probe, desk).await,
        Probe::Script(probe) => script::look(probe, &config.name, desk).await,
        Probe::Http(probe) => http::look(probe, &desk.doing).await,
        Probe::Dns(probe) => dns::look(probe, &desk.doing).await,
        Probe::Redis(probe) => redis::look(probe, &desk.doing).await,
        Probe::Postgres(probe) => postgres::look(probe, &desk.doing).await,
        Probe::Mysql(probe) => mysql::look(probe, &desk.doing).await,
    }
}

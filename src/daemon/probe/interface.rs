//! `interface`: an interface is up and has carrier.

use crate::daemon::netlink::look_up;
use crate::engine::ProbeResult;
use crate::model::InterfaceProbe;

/// Looks once.
pub(crate) async fn look(probe: &InterfaceProbe) -> ProbeResult {
    let name = &probe.name;
    match look_up(name).await {
        Ok(Some(found)) if !found.up => ProbeResult::Failed(format!("{name} is down")),
        Ok(Some(found)) if !found.carrier => ProbeResult::Failed(format!("{name} has no carrier")),
        Ok(Some(_)) => ProbeResult::Passed(format!("{name} is up")),
        Ok(None) => ProbeResult::Failed(format!("there is no interface {name}")),
        Err(error) => ProbeResult::Failed(format!("the kernel does not tell of {name}: {error}")),
    }
}

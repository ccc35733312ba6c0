//! `interface`: an interface is up and has carrier.

use crate::daemon::netlink::look_up;
use crate::engine::ProbeResult;
use crate::model::InterfaceProbe;

/// Looks once.
pub(crate) async fn look(probe: &InterfaceProbe) -> ProbeResult {
    let name = &probe.name;
    let failed = |what: String| ProbeResult::Failed(what);
    match look_up(name).await {
        Ok(Some(found)) if !found.up => failed(format!("{name} is down")),
        Ok(Some(found)) if !found.carrier => failed(format!("{name} has no carrier")),
        Ok(Some(_)) => ProbeResult::Passed(format!("{name} is up")),
        Ok(None) => failed(format!("there is no interface {name}")),
        Err(error) => failed(format!("the kernel does not tell of {name}: {error}")),
    }
}

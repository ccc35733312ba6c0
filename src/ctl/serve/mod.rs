//! `vipctl serve`: the web side, which needs no privilege. It only reads the status socket and
//! answers over HTTP: metrics, health, the status page. It asks the daemon anew for each answer, so
//! it outlives a daemon and never tells what was true before. While nobody asks, it does nothing.

mod feed;
mod http;
mod names;
mod page;
mod server;
mod source;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

use self::http::Site;
use self::names::{HostName, Names};

use super::exit::{self, Exit};
use super::told::Told;
use crate::api::RUNTIME_DIRECTORY;

/// Where it listens if nothing else is said. The ports from 9100 to 9999 are all taken by exporters
/// of Prometheus; this one is unassigned, and ends like VRRP's protocol number.
const LISTEN: &str = "127.0.0.1:10112";

/// How many reads of the status socket may be under way. They are shared; only those whose clients
/// have gone meanwhile add to them.
const READERS: usize = 4;

#[derive(Debug, Args)]
#[command(after_help = exit::TEXT)]
pub(super) struct ServeOptions {
    /// Where to listen; can be given several times. '[::]:10112' takes IPv4 and IPv6
    #[arg(long, value_name = "ADDRESS:PORT", default_value = LISTEN)]
    listen: Vec<SocketAddr>,
    /// A name by which browsers ask for it; can be given several times. Addresses and localhost are
    /// always answered, other names are not
    #[arg(long, value_name = "NAME")]
    host_name: Vec<HostName>,
    /// The runtime directory of vipd
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIRECTORY)]
    runtime_directory: PathBuf,
}

/// Serves until it is killed; returns only where it cannot.
pub(super) fn main(options: &ServeOptions) -> Told {
    let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(READERS).build();
    let served = runtime
        .map_err(|error| format!("this program cannot work: {error}"))
        .and_then(|runtime| runtime.block_on(serve(options)));
    match served {
        Ok(()) => Told::done(String::new()),
        Err(why) => Told::problem(Exit::System, why),
    }
}

async fn serve(options: &ServeOptions) -> Result<(), String> {
    let mut listeners = Vec::new();
    for address in &options.listen {
        let listener = TcpListener::bind(address).await;
        listeners.push(listener.map_err(|error| refused(*address, &error))?);
    }
    for listener in &listeners {
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        eprintln!("vipctl: listening on http://{address}/");
    }
    let names = Names::new(options.host_name.clone());
    server::run(listeners, Site::new(options.runtime_directory.clone(), names)).await;
    Ok(())
}

fn refused(address: SocketAddr, error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "; another program listens there: ss --listening --tcp --processes 'sport = {}'",
                address.port()
            )
        }
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has it".to_owned(),
        _ => String::new(),
    };
    format!("cannot listen on {address}: {error}{advice}")
}

//! A floating address in front of PostgreSQL on two machines: a primary and its streaming replica,
//! which both answer questions.

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_postgres::{Client as Session, Config, NoTls};

use super::client::{Answer, TIMEOUT};
use super::lab::{Lab, VIP};
use super::life;
use super::pair::Pair;

/// What PostgreSQL needs on both machines. The name tells the client who has answered.
const SERVER: &str = "set -e
    cat > /etc/postgresql/15/main/conf.d/pair.conf <<END
listen_addresses = '*'
cluster_name = '$(hostname)'
END
    echo 'host all,replication all 10.77.0.0/24 trust' >> /etc/postgresql/15/main/pg_hba.conf
    systemctl restart postgresql@15-main";

const PRIMARY: &str = "runuser -u postgres -- psql --command 'CREATE ROLE app LOGIN REPLICATION'";

const REPLICA: &str = "set -e
    systemctl stop postgresql@15-main
    rm -r /var/lib/postgresql/15/main
    runuser -u postgres -- pg_basebackup --host=10.77.0.11 --username=app --write-recovery-conf \\
        --checkpoint=fast --pgdata=/var/lib/postgresql/15/main
    systemctl start postgresql@15-main";

const CONFIGURATION: &str = "\
nodes:
  db1: 10.77.0.11
  db2: 10.77.0.12
instances:
  db:
    interface: eth0
    virtual_router_id: 52
    addresses: [10.77.0.100/24]
";

/// Rule: with the default interval and preemption the same holds as for web servers, for
/// connections that stay open, too: one that was to the other machine is reset at once.
pub(crate) fn everything_that_happens(lab: &Lab) {
    let mut pair = Pair::boot(lab, ["db1", "db2"], true);
    for machine in &pair.machines {
        machine.does(SERVER);
        machine.does("apt-get install --yes ./vipd_*_amd64.deb");
    }
    pair.machines[0].does(PRIMARY);
    pair.machines[1].does(REPLICA);
    for machine in &pair.machines {
        machine.write("/etc/vipd/vipd.yaml", CONFIGURATION);
        let order = "[Unit]\nAfter=postgresql@15-main.service\n";
        machine.write("/etc/systemd/system/vipd.service.d/postgresql.conf", order);
        machine.does("systemctl daemon-reload && systemctl reload vipd");
    }
    let mut client = Client::new();
    pair.serve(move || client.ask());
    life::passes(pair);
}

/// A program with one session, which it opens again when it is lost.
struct Client {
    runtime: Runtime,
    session: Option<Session>,
}

impl Client {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { runtime, session: None }
    }

    fn ask(&mut self) -> Answer {
        let Self { runtime, session } = self;
        let answer = runtime.block_on(async { timeout(TIMEOUT, statement(session)).await });
        let answer = answer.map_err(|_| "no answer".to_owned()).and_then(|answer| answer);
        if answer.is_err() {
            *session = None;
        }
        answer
    }
}

async fn statement(session: &mut Option<Session>) -> Answer {
    let reason = |error: tokio_postgres::Error| error.to_string();
    if session.is_none() {
        let mut config = Config::new();
        config.host(VIP.to_string()).user("app").dbname("postgres");
        let (client, connection) = config.connect(NoTls).await.map_err(reason)?;
        // It ends with the session, and says there why.
        tokio::spawn(connection);
        *session = Some(client);
    }
    let session = session.as_ref().ok_or("no session")?;
    let row = session.query_one("SELECT current_setting('cluster_name')", &[]).await;
    Ok(row.map_err(reason)?.get(0))
}

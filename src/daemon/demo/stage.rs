//! Where the story plays: the laboratory, the client, and what is said on the terminal.

use std::io;
use std::sync::MutexGuard;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::cast::{CLIENT, CONFIGURATION, Node, VIRTUAL_ADDRESS};
use super::client::Client;
use super::host::{Host, Line};
use super::lab::{Lab, LabError, Namespace};
use super::narrator::{Look, Narrator, wrap};
use super::record::Record;
use crate::table::Table;
use crate::time::Span;

/// How often the live line changes.
const FRAME: Duration = Duration::from_millis(100);
/// What one character of the strip stands for.
const STRETCH: Duration = Duration::from_millis(500);
/// How many of them the live line has room for.
const STRIP: usize = 44;
/// How far the continuation of a wrapped line is indented: to after its time.
const INDENT: usize = 10;

/// Why the story cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The laboratory cannot be built, or an agent not be started.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// Nobody can read the story.
    #[error("the story cannot be written: {0}")]
    Output(#[from] io::Error),
    /// The client or an agent did not do what it should.
    #[error("{0}")]
    Unexpected(String),
}

/// The segment with its client, before any node has power.
pub(super) struct Stage<'a> {
    narrator: &'a mut Narrator,
    lab: Lab,
    client: Client,
    _client_namespace: Namespace,
    log: UnboundedSender<Line>,
    said: UnboundedReceiver<Line>,
    quotes: Vec<String>,
    table: Table<4>,
}

impl<'a> Stage<'a> {
    /// Introduces the cast, builds the segment and starts the client.
    pub(super) async fn build(narrator: &'a mut Narrator) -> Result<Self, Failure> {
        introduce(narrator)?;
        let lab = Lab::build().await?;
        let namespace = lab.plug_in(CLIENT).await?;
        let client = lab.inside("the client", &namespace, Client::start)?;
        let (log, said) = unbounded_channel();
        let table = Table::new(["Step", "What happened", "Answers now", "Longest gap"]);
        let quotes = Vec::new();
        Ok(Self { narrator, lab, client, _client_namespace: namespace, log, said, quotes, table })
    }

    /// The segment.
    pub(super) fn lab(&self) -> &Lab {
        &self.lab
    }

    /// The time since the client's start.
    pub(super) fn now(&self) -> Duration {
        self.client.now()
    }

    /// What the client has seen. Not to be held across a wait: the client waits too.
    pub(super) fn record(&self) -> MutexGuard<'_, Record> {
        self.client.record()
    }

    /// Boots a node.
    pub(super) async fn boot(&self, node: Node) -> Result<Host, LabError> {
        Host::boot(&self.lab, node, self.log.clone()).await
    }

    /// A headline and what to expect.
    pub(super) fn announce(&mut self, title: &str, explanation: &str) -> io::Result<()> {
        let title = self.narrator.dress(Look::Bold, title);
        self.narrator.say(format_args!("\n{title}\n  {explanation}"))
    }

    /// A line of the story, after what the agents have said.
    pub(super) fn tell(&mut self, at: Duration, what: &str) -> io::Result<()> {
        self.pass_on()?;
        self.narrator.say(format_args!("{} {what}", Clock(at)))
    }

    fn pass_on(&mut self) -> io::Result<()> {
        self.listen().into_iter().try_for_each(|line| {
            let line = self.narrator.dress(Look::Dim, line);
            self.narrator.say(line)
        })
    }

    /// Passes on what the agents have said, refreshes the live line and waits for a moment.
    pub(super) async fn frame(&mut self) -> io::Result<()> {
        self.pass_on()?;
        let now = self.now();
        let (answering, strip) = {
            let record = self.client.record();
            (record.answering(now), record.strip(STRETCH))
        };
        let who = answering.map_or("nobody", Node::name);
        let strip = strip_text(strip.get(strip.len().saturating_sub(STRIP)..).unwrap_or_default());
        self.narrator.show(format_args!("{} {strip:STRIP$} {who} answers", Clock(now)))?;
        tokio::time::sleep(FRAME).await;
        Ok(())
    }

    /// Adds a row to the table and says how long the longest gap was that began since `begun`.
    pub(super) fn note(&mut self, title: &str, what: String, begun: Duration) -> io::Result<()> {
        let now = self.now();
        let (answering, gap) = {
            let record = self.client.record();
            (record.answering(now), record.longest_gap(begun, now))
        };
        let answering = answering.map_or("nobody", Node::name);
        let gap = if gap.is_zero() { "none".to_owned() } else { Span::from(gap).to_string() };
        self.tell(now, &format!("The longest gap that the client saw: {gap}."))?;
        self.table.push([title.to_owned(), what, answering.to_owned(), gap]);
        Ok(())
    }

    /// Writes the table and what the client saw over all.
    pub(super) fn sum_up(&mut self) -> Result<(), Failure> {
        let (sent, answered, strip) = {
            let record = self.client.record();
            (record.sent(), record.answered(), strip_text(&record.strip(STRETCH)))
        };
        let stretch = Span::from(STRETCH);
        self.narrator.say(format_args!(
            "\n{}\n{sent} datagrams sent, {answered} answered. Who answered, {stretch} a \
             character\n(1 = web1, 2 = web2, . = nobody):\n  {strip}\n",
            self.table
        ))?;
        Ok(())
    }

    /// All that the agents have written.
    pub(super) async fn quotes(mut self) -> String {
        // The last words of a process that has died are still in its pipe.
        tokio::time::sleep(FRAME).await;
        self.listen();
        self.quotes.join("\n")
    }

    fn listen(&mut self) -> Vec<String> {
        let lines = std::iter::from_fn(|| self.said.try_recv().ok());
        let heard = lines.map(|line| {
            let at = Clock(self.client.at(line.read));
            wrap(&format!("{at} {}: {}", line.node, line.text), INDENT)
        });
        let heard: Vec<String> = heard.collect();
        self.quotes.extend(heard.iter().cloned());
        heard
    }
}

/// A time of the demo, `  3.21 s`.
struct Clock(Duration);

impl std::fmt::Display for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:6.2} s ", self.0.as_secs_f64())
    }
}

/// `1` for web1, `2` for web2, `.` for nobody.
fn strip_text(strip: &[Option<Node>]) -> String {
    strip
        .iter()
        .map(|by| match by {
            Some(Node::Web1) => '1',
            Some(Node::Web2) => '2',
            None => '.',
        })
        .collect()
}

fn introduce(narrator: &mut Narrator) -> io::Result<()> {
    let [web1, web2] = Node::BOTH.map(|node| node.machine().address);
    let client = CLIENT.address;
    narrator.say(format_args!(
        "Two nodes share the address {VIRTUAL_ADDRESS}; a client asks it every millisecond.

    client {client} --- bridge --+-- web1 {web1}   preferred
                                   +-- web2 {web2}

They live in network namespaces on this machine, which end with this demo, and
run real agents (vipd run) with this configuration:
"
    ))?;
    let configuration = CONFIGURATION.lines().map(|line| format!("    {line}"));
    narrator.say(narrator.dress(Look::Dim, configuration.collect::<Vec<_>>().join("\n")))
}

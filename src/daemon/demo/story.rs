//! The story: what is done to the nodes, and what the client must see.

use std::time::Duration;

use super::cast::Node;
use super::host::Host;
use super::narrator::Narrator;
use super::stage::{Failure, Stage};
use crate::time::Span;

/// How long a takeover may take, on a slow machine too.
const LIMIT: Duration = Duration::from_secs(10);
/// How long the story rests after each takeover, to see that it lasts.
const REST: Duration = Duration::from_secs(4);

/// Something that is done to the nodes.
struct Step {
    title: &'static str,
    explanation: &'static str,
    /// What the successor did, after its name and before the time that it took.
    outcome: &'static str,
    /// Who answers afterwards.
    successor: Node,
    /// The longest gap that is as it should be, with time for a busy machine.
    bearable: Duration,
}

const START: Step = Step {
    title: "Both nodes start",
    explanation: "Each listens first: who is there? Then the preferred one takes the address.",
    outcome: "was elected in",
    successor: Node::Web1,
    bearable: Duration::from_millis(500),
};

const POWER_FAILURE: Step = Step {
    title: "web1 loses its power",
    explanation: "It says no good-bye. web2 misses three advertisements before it takes over.",
    outcome: "took over in",
    successor: Node::Web2,
    bearable: Duration::from_secs(2),
};

const RETURN: Step = Step {
    title: "web1 comes back",
    explanation: "It is preferred and takes the address back; it answers before web2 lets go.",
    outcome: "took it back in",
    successor: Node::Web1,
    bearable: Duration::from_millis(200),
};

const STOP: Step = Step {
    title: "web1's agent is stopped",
    explanation: "An orderly stop (SIGTERM): it says good-bye and goes on answering until web2 does.",
    outcome: "took over in",
    successor: Node::Web2,
    bearable: Duration::from_millis(200),
};

/// Tells it. With a failure comes what the agents wrote, unless the failure is not theirs.
pub(super) async fn tell(narrator: &mut Narrator) -> Result<(), (Failure, String)> {
    let mut stage = Stage::build(narrator).await.map_err(|failure| (failure, String::new()))?;
    let told = run(&mut stage).await;
    let summed_up = stage.sum_up();
    match told.and(summed_up) {
        Ok(()) => Ok(()),
        Err(failure @ Failure::Output(_)) => Err((failure, String::new())),
        Err(failure) => Err((failure, stage.quotes().await)),
    }
}

async fn run(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let begun = begin(stage, &START)?;
    let mut web1 = stage.boot(Node::Web1).await?;
    let mut web2 = stage.boot(Node::Web2).await?;
    watch(stage, &START, begun, &mut [&mut web1, &mut web2]).await?;

    let begun = begin(stage, &POWER_FAILURE)?;
    web1.cut_power(stage.lab()).await?;
    watch(stage, &POWER_FAILURE, begun, &mut [&mut web2]).await?;

    let begun = begin(stage, &RETURN)?;
    let mut web1 = stage.boot(Node::Web1).await?;
    watch(stage, &RETURN, begun, &mut [&mut web1, &mut web2]).await?;

    let begun = begin(stage, &STOP)?;
    web1.stop_agent()?;
    watch(stage, &STOP, begun, &mut [&mut web2]).await?;
    match web1.agent_ended()? {
        Some(status) if status.success() => Ok(()),
        Some(status) => fail(format!("web1's agent did not stop in an orderly way: {status}")),
        None => fail("web1's agent still runs after SIGTERM".to_owned()),
    }
}

fn fail(what: String) -> Result<(), Failure> {
    Err(Failure::Unexpected(what))
}

/// Announces a step and returns its beginning.
fn begin(stage: &mut Stage<'_>, step: &Step) -> Result<Duration, Failure> {
    stage.announce(step.title, step.explanation)?;
    Ok(stage.now())
}

/// Watches until the successor answers and for a while more, and judges what the client saw.
async fn watch(
    stage: &mut Stage<'_>,
    step: &Step,
    begun: Duration,
    hosts: &mut [&mut Host],
) -> Result<(), Failure> {
    let successor = step.successor;
    let answered = loop {
        check_alive(hosts)?;
        stage.frame().await?;
        if let Some(answer) = stage.record().first_answer(successor, begun) {
            break answer.at;
        }
        if stage.now() > begun + LIMIT {
            stage.note(step.title, format!("{successor} did not take over"), begun)?;
            return fail(format!("{successor} did not answer within {}", Span::from(LIMIT)));
        }
    };
    let took = Span::from(answered.saturating_sub(begun));
    stage.tell(answered, &format!("{successor} answers the client, {took} after that."))?;
    let end = stage.now() + REST;
    while stage.now() < end {
        check_alive(hosts)?;
        stage.frame().await?;
    }
    stage.note(step.title, format!("{successor} {} {took}", step.outcome), begun)?;
    judge(stage, step, begun)
}

fn check_alive(hosts: &mut [&mut Host]) -> Result<(), Failure> {
    hosts.iter_mut().try_for_each(|host| match host.agent_ended()? {
        None => Ok(()),
        Some(status) => fail(format!("the agent on {} ended by itself: {status}", host.node())),
    })
}

fn judge(stage: &Stage<'_>, step: &Step, begun: Duration) -> Result<(), Failure> {
    let now = stage.now();
    let record = stage.record();
    let turns = record.turns(begun, now);
    if turns.len() > 2 || turns.last() != Some(&step.successor) {
        let turns: Vec<&str> = turns.iter().map(|node| node.name()).collect();
        return fail(format!("the address did not move just once: {}", turns.join(", ")));
    }
    let gap = record.longest_gap(begun, now);
    if gap > step.bearable {
        let (gap, bearable) = (Span::from(gap), Span::from(step.bearable));
        return fail(format!("the client had no answer for {gap}; {bearable} would be bearable"));
    }
    Ok(())
}

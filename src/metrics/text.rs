//! The older text format of Prometheus (version 0.0.4).

/// Turns OpenMetrics text into the older format. What differs for what we write: there a counter's
/// family has the name of its samples, with `_total`, and neither unit nor end is marked.
pub fn prometheus_text(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    let mut lines = openmetrics.lines().peekable();
    while let Some(line) = lines.next() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        let counter = is_counter(line) || lines.peek().is_some_and(|next| is_counter(next));
        match line.strip_prefix("# ").filter(|_| counter).and_then(named) {
            Some((keyword, name, rest)) => {
                text.extend(["# ", keyword, " ", name, "_total ", rest]);
            }
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

fn is_counter(line: &str) -> bool {
    line.starts_with("# TYPE ") && line.ends_with(" counter")
}

/// `HELP name what it is` in its three parts.
fn named(comment: &str) -> Option<(&str, &str, &str)> {
    let (keyword, rest) = comment.split_once(' ')?;
    let (name, rest) = rest.split_once(' ')?;
    Some((keyword, name, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: only what the older format has otherwise is changed.
    #[test]
    fn counters_are_named_like_their_samples() {
        let new = "\
# HELP a_seconds One.
# TYPE a_seconds gauge
# UNIT a_seconds seconds
a_seconds{b=\"# TYPE counter\"} 1.5
# HELP c Two things.
# TYPE c counter
c_total 3
# EOF
";
        let old = "\
# HELP a_seconds One.
# TYPE a_seconds gauge
a_seconds{b=\"# TYPE counter\"} 1.5
# HELP c_total Two things.
# TYPE c_total counter
c_total 3
";
        assert_eq!(prometheus_text(new), old);
    }
}

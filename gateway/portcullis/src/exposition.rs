//! Families of metrics that live elsewhere as plain numbers, written in the text format of Prometheus
//! (exposition format 0.0.4) beside those of the registry.

use std::fmt::{Display, Write};

/// A text under way.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    family: &'static str,
}

impl Exposition {
    /// Goes on behind what a registry wrote.
    pub const fn behind(text: String) -> Self {
        Self { text, family: "" }
    }

    /// Begins a family of counters; `name` ends in `_total`.
    pub fn counters(&mut self, name: &'static str, help: &str) -> &mut Self {
        self.begin(name, help, "counter")
    }

    /// Begins a family of gauges.
    pub fn gauges(&mut self, name: &'static str, help: &str) -> &mut Self {
        self.begin(name, help, "gauge")
    }

    fn begin(&mut self, name: &'static str, help: &str, kind: &str) -> &mut Self {
        self.family = name;
        // Writing into a string does not fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        self
    }

    /// Adds a sample to the family.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Self {
        self.text.push_str(self.family);
        self.labels(labels);
        let _ = writeln!(self.text, " {value}");
        self
    }

    /// Writes a whole histogram: bounds in seconds with cumulative counts, then the count and the sum.
    pub fn histogram(&mut self, name: &'static str, help: &str, cumulative: &[(f64, u64)], count: u64, sum: f64) {
        self.begin(name, help, "histogram");
        for (bound, below) in cumulative {
            let _ = writeln!(self.text, "{name}_bucket{{le=\"{bound}\"}} {below}");
        }
        let _ = writeln!(self.text, "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}");
    }

    /// The whole text.
    pub fn finish(self) -> String {
        self.text
    }

    fn labels(&mut self, labels: &[(&str, &str)]) {
        let mut before = '{';
        for (name, value) in labels {
            self.text.push(before);
            before = ',';
            let _ = write!(self.text, "{name}=\"");
            for character in value.chars() {
                match character {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    other => self.text.push(other),
                }
            }
            self.text.push('"');
        }
        if before == ',' {
            self.text.push('}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_written_as_prometheus_reads_it() {
        let mut text = Exposition::behind(String::new());
        text.gauges("a_seconds", "How long.").sample(&[], 1.5).sample(&[("b", "x\"y\\z\n")], 2);
        text.histogram("c_seconds", "Times.", &[(0.5, 1), (1.0, 2)], 3, 4.5);
        insta::assert_snapshot!(text.finish(), @r#"
        # HELP a_seconds How long.
        # TYPE a_seconds gauge
        a_seconds 1.5
        a_seconds{b="x\"y\\z\n"} 2
        # HELP c_seconds Times.
        # TYPE c_seconds histogram
        c_seconds_bucket{le="0.5"} 1
        c_seconds_bucket{le="1"} 2
        c_seconds_bucket{le="+Inf"} 3
        c_seconds_sum 4.5
        c_seconds_count 3
        "#);
    }
}

//! `portcullis lookup`: what is known of addresses, and who says so.

use std::io::{self, Write};
use std::net::IpAddr;
use std::process::ExitCode;

use portcullis_intel::{Because, Explanation, Intel, NetworkClass, Statement};
use serde::Serialize;

use super::{intel, tell_error};
use crate::cli::{LookupArgs, OutputFormat};
use crate::intel::fetch::printable;

#[derive(Serialize)]
struct Line {
    address: String,
    prefix: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    special_use: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asn: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organisation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<String>,
    classes: Vec<Class>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crawler: Option<Crawler>,
    /// Whether many people share the address, so that it is not what is counted.
    shared: bool,
    said: Vec<Said>,
}

/// A class, by its surest source.
#[derive(Serialize)]
struct Class {
    class: &'static str,
    confidence: f64,
    source: String,
}

#[derive(Serialize)]
struct Crawler {
    name: String,
    kind: &'static str,
}

/// One thing that one source says.
#[derive(Serialize)]
struct Said {
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    licence: Option<String>,
    what: &'static str,
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<f64>,
    /// The autonomous system that the source names in place of the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<String>,
}

/// Looks the addresses up.
pub(crate) fn run(args: &LookupArgs) -> ExitCode {
    let Some(intel) = intel(args.config.as_deref(), &args.databases) else { return ExitCode::FAILURE };
    let mut output = io::stdout().lock();
    for address in &args.addresses {
        let line = line(*address, &intel.explain(*address), &intel);
        let written = match args.format {
            OutputFormat::Text => output.write_all(line.text().as_bytes()),
            OutputFormat::Json => serde_json::to_writer(&mut output, &line)
                .map_err(io::Error::from)
                .and_then(|()| output.write_all(b"\n")),
        };
        if let Err(error) = written {
            tell_error(error);
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn line(address: IpAddr, explained: &Explanation, intel: &Intel) -> Line {
    let facts = &explained.facts;
    let name = |source| intel.source(source).map_or_else(String::new, |source| printable(&source.name));
    let class = |class: NetworkClass| {
        let claim = facts.claims.of(class)?;
        let confidence = share(claim.confidence);
        Some(Class { class: class.name(), confidence, source: name(claim.source) })
    };
    let said = |evidence: &portcullis_intel::Evidence| {
        let (what, value, confidence, because) = match &evidence.statement {
            Statement::Asn(asn) => ("asn", asn.to_string(), None, None),
            Statement::Organisation(organisation) => ("organisation", printable(organisation), None, None),
            Statement::Country(country) => ("country", country.to_string(), None, None),
            Statement::Class { class, confidence, because } => {
                let network = match because {
                    Because::Address => None,
                    Because::Network(asn) => Some(asn.to_string()),
                };
                ("class", class.name().to_owned(), Some(share(*confidence)), network)
            }
        };
        let licence = intel.source(evidence.source).and_then(|source| source.licence.as_deref()).map(printable);
        Said { source: name(evidence.source), licence, what, value, confidence, because }
    };
    Line {
        address: address.to_string(),
        prefix: facts.prefix.to_string(),
        special_use: facts.special_use.map(|use_| use_.to_string()),
        asn: facts.asn.map(|asn| asn.0),
        organisation: facts.organisation.as_deref().map(printable),
        country: facts.country.map(|country| country.to_string()),
        classes: facts.classes.iter().filter_map(class).collect(),
        crawler: facts
            .crawler
            .as_ref()
            .map(|crawler| Crawler { name: printable(&crawler.name), kind: crawler.kind.name() }),
        shared: facts.is_shared(),
        said: explained.evidence.iter().map(said).collect(),
    }
}

fn share(confidence: portcullis_intel::Confidence) -> f64 {
    f64::from(confidence.as_percent()) / 100.0
}

impl Line {
    fn text(&self) -> String {
        let mut text = format!("{}\n  prefix        {}\n", self.address, self.prefix);
        let mut row = |name: &str, value: Option<&str>| {
            text.push_str(&format!("  {name:<13} {}\n", value.unwrap_or("not known")));
        };
        if let Some(special) = &self.special_use {
            row("special use", Some(special));
            return text;
        }
        row("asn", self.asn.map(|asn| format!("AS{asn}")).as_deref());
        row("organisation", self.organisation.as_deref());
        row("country", self.country.as_deref());
        let classes: Vec<&str> = self.classes.iter().map(|class| class.class).collect();
        let classes = if classes.is_empty() { "none".to_owned() } else { classes.join(", ") };
        row("classes", Some(&classes));
        if let Some(crawler) = &self.crawler {
            row("crawler", Some(&format!("{}, for {}", crawler.name, crawler.kind)));
        }
        if self.shared {
            row("shared", Some("by many people, so names and fingerprints count, and the address hardly"));
        }
        if !self.said.is_empty() {
            text.push_str("  who says so\n");
        }
        for said in &self.said {
            let sure =
                said.confidence.map_or(String::new(), |confidence| format!(", {:.0} % sure", confidence * 100.0));
            let because = said.because.as_ref().map_or(String::new(), |asn| format!(", as all of {asn}"));
            text.push_str(&format!("    {:<26} {} {}{sure}{because}\n", said.source, said.what, said.value));
        }
        text
    }
}

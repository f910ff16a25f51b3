//! The command line of a program: parsed, or refused as people and programs read it.

use std::{error::Error, ffi::OsString};

use clap::{
    Parser,
    error::{ContextKind, ContextValue},
};
use zmon_domain::error::FieldError;

use crate::{ExitClass, Failure, Streams};

/// Parses `args`, the program's name first. `Err` is how the program ends instead: well after
/// `--help` and `--version`, as a usage failure else, which with `--json` is a JSON document like
/// any other failure.
///
/// # Errors
/// The class of the exit code; everything has been shown.
pub fn parse<A: Parser>(args: Vec<OsString>, streams: &mut Streams<'_>) -> Result<A, ExitClass> {
    let json = args.iter().any(|arg| arg == "--json");
    A::try_parse_from(args).map_err(|error| {
        if !error.use_stderr() || !json {
            // Nobody is left to be told when the terminal is gone.
            drop(error.print());
            return if error.use_stderr() { ExitClass::Usage } else { ExitClass::Ok };
        }
        streams.set_json(true);
        let said = error.render().to_string();
        let cause = said.lines().next().unwrap_or_default().trim_start_matches("error: ");
        Failure::from(fault(&error)).context(cause).show(streams)
    })
}

/// The argument that an error is about, as the person typed it, and the rule if its value broke one.
fn fault(error: &clap::Error) -> FieldError {
    let argument = error.get(ContextKind::InvalidArg).and_then(|value| {
        let ContextValue::String(argument) = value else { return None };
        argument.split(' ').next()
    });
    let rule = error.source().map(ToString::to_string).filter(|rule| rule.starts_with("must "));
    FieldError::owned(
        argument.unwrap_or("command line").to_owned(),
        rule.unwrap_or_else(|| "must be as --help says".to_owned()),
    )
}

#[cfg(test)]
mod tests {
    use zmon_domain::ids::BedId;

    use super::*;

    #[derive(Debug, Parser)]
    struct Args {
        #[arg(long)]
        json: bool,
        #[arg(long)]
        count: Option<u8>,
        #[arg(long, value_parser = crate::flag::by(BedId::parse))]
        bed: Option<BedId>,
    }

    fn parsed(args: &[&str]) -> (Result<Args, ExitClass>, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut streams = Streams::new(&mut out, &mut err, false);
        let args = std::iter::once("program").chain(args.iter().copied()).map(OsString::from);
        let parsed = parse(args.collect(), &mut streams);
        assert!(err.is_empty());
        (parsed, String::from_utf8(out).unwrap())
    }

    #[test]
    fn what_is_right_is_parsed() {
        let args = parsed(&["--json", "--count", "7"]).0.unwrap();
        assert_eq!((args.json, args.count), (true, Some(7)));
    }

    #[test]
    fn programs_read_a_usage_error_as_json() {
        for wrong in [["--count", "x"], ["--count", "256"], ["--cuont", "1"]] {
            let (refused, out) = parsed(&[&wrong[..], &["--json"]].concat());
            assert_eq!(refused.unwrap_err(), ExitClass::Usage);
            let document: serde_json::Value = serde_json::from_str(&out).unwrap();
            assert_eq!(document["code"], "settings_invalid");
            assert_eq!(document["field"], wrong[0]);
            assert_eq!(document["rule"], "must be as --help says");
            let cause = document["cause"].as_str().unwrap();
            assert!(cause.contains(wrong[0]) && !cause.contains('\n'), "{cause}");
        }
    }

    #[test]
    fn a_broken_rule_is_told_with_its_flag() {
        let (_, out) = parsed(&["--json", "--bed", "a b"]);
        let document: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(document["field"], "--bed");
        assert!(document["rule"].as_str().unwrap().starts_with("must "), "{document}");
    }

    #[test]
    fn people_read_it_on_standard_error() {
        let (refused, out) = parsed(&["--count", "x"]);
        assert_eq!(refused.unwrap_err(), ExitClass::Usage);
        assert!(out.is_empty());
    }
}

//! Values of flags and environment variables, read by the domain's own rules as the command line is
//! parsed: a wrong one is refused before anything is asked, opened or sent.

use zmon_domain::error::FieldError;

/// A value parser for clap. The message is the rule alone, since clap names the flag, as the person
/// typed it: `must have 1 to 64 characters`.
pub fn by<T>(
    parse: impl Fn(&str) -> Result<T, FieldError> + Clone,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| parse(text).map_err(|error| error.rule().to_owned())
}

#[cfg(test)]
mod tests {
    use zmon_domain::ids::BedId;

    use super::*;

    #[test]
    fn the_rule_is_the_domains_without_its_name_of_the_field() {
        let parse = by(BedId::parse);
        assert!(parse("ICU-3B").is_ok());
        let rule = parse("").unwrap_err();
        assert!(rule.starts_with("must ") && !rule.contains("bedId"), "{rule}");
    }
}

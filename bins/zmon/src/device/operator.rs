//! `zmon device operator …`.

use std::path::Path;

use zmon_cli::{
    Failure, Streams,
    secret::{self, Source},
};
use zmon_domain::ids::OperatorId;
use zmon_wire::{
    admin::Done,
    control::{ControlAnswer, ControlRequest},
    secret::SecretText,
};

use super::{Control, read_person, show, unexpected};
use crate::args::device::{OperatorCommand, Person};

/// Carries out a command about the operators of a device.
///
/// # Errors
/// A usage failure for a wrong name; else what the device says.
pub(super) async fn run(
    control: &mut Control,
    command: OperatorCommand,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let (request, done) = match command {
        OperatorCommand::List { person } => {
            let (operator, pin) = read_person(&person)?;
            let answer = control.ask(&ControlRequest::ListOperators { operator, pin }).await?;
            let ControlAnswer::Operators(view) = answer else { return Err(unexpected()) };
            return show::answer(streams, &view, show::operators);
        }
        OperatorCommand::First { account, new_pin_file } => {
            let operator = OperatorId::parse(&account)?;
            let pin = new_pin(&account, new_pin_file.as_deref())?;
            let done = format!("{account} is the first administrator");
            (ControlRequest::CreateAdministrator { operator, pin }, done)
        }
        OperatorCommand::Add { account, role, new_pin_file, person } => {
            let (new_operator, role) = (OperatorId::parse(&account)?, role.into());
            let (operator, pin) = read_person(&person)?;
            let new_pin = new_pin(&account, new_pin_file.as_deref())?;
            let request =
                ControlRequest::AddOperator { operator, pin, new_operator, new_pin, role };
            (request, format!("{account} is added as {role}"))
        }
        OperatorCommand::Remove { account, person } => {
            let (operator, pin, account) = read(&person, &account)?;
            let done = format!("{account} is removed");
            (ControlRequest::RemoveOperator { operator, pin, account }, done)
        }
        OperatorCommand::SetPin { account, new_pin_file, person } => {
            let (operator, pin, account) = read(&person, &account)?;
            let new_pin = new_pin(account.as_str(), new_pin_file.as_deref())?;
            let done = format!("{account} has another PIN");
            (ControlRequest::SetPin { operator, pin, account, new_pin }, done)
        }
        OperatorCommand::Unlock { account, person } => {
            let (operator, pin, account) = read(&person, &account)?;
            let done = format!("{account} need not wait");
            (ControlRequest::UnlockOperator { operator, pin, account }, done)
        }
    };
    control.done(&request).await?;
    if streams.is_json() {
        return Ok(streams.json(&Done::default())?);
    }
    Ok(streams.say(&done)?)
}

/// Who asks, and about whom. The name is checked before a PIN is asked.
fn read(person: &Person, account: &str) -> Result<(OperatorId, SecretText, OperatorId), Failure> {
    let account = OperatorId::parse(account)?;
    let (operator, pin) = read_person(person)?;
    Ok((operator, pin, account))
}

fn new_pin(account: &str, file: Option<&Path>) -> Result<SecretText, Failure> {
    let source = Source::choose(file)
        .ok_or_else(|| Failure::usage("new-pin-file", "must be given where nobody can be asked"))?;
    let pin = secret::read_new(source, &format!("New PIN of {account}"))?;
    Ok(SecretText::new(&pin))
}

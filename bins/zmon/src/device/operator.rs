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
use crate::args::device::OperatorCommand;

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
            let pin = new_pin(&account, new_pin_file.as_deref())?;
            let done = format!("{account} is the first administrator");
            (ControlRequest::CreateAdministrator { operator: account, pin }, done)
        }
        OperatorCommand::Add { account, role, new_pin_file, person } => {
            let (operator, pin) = read_person(&person)?;
            let new_pin = new_pin(&account, new_pin_file.as_deref())?;
            let (new_operator, role) = (account, role.into());
            let done = format!("{new_operator} is added as {role}");
            (ControlRequest::AddOperator { operator, pin, new_operator, new_pin, role }, done)
        }
        OperatorCommand::Remove { account, person } => {
            let (operator, pin) = read_person(&person)?;
            let done = format!("{account} is removed");
            (ControlRequest::RemoveOperator { operator, pin, account }, done)
        }
        OperatorCommand::SetPin { account, new_pin_file, person } => {
            let (operator, pin) = read_person(&person)?;
            let new_pin = new_pin(&account, new_pin_file.as_deref())?;
            let done = format!("{account} has another PIN");
            (ControlRequest::SetPin { operator, pin, account, new_pin }, done)
        }
        OperatorCommand::Unlock { account, person } => {
            let (operator, pin) = read_person(&person)?;
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

fn new_pin(account: &OperatorId, file: Option<&Path>) -> Result<SecretText, Failure> {
    let source = Source::choose("--new-pin-file", file)?;
    let pin = secret::read_new(source, &format!("New PIN of {account}"))?;
    Ok(SecretText::new(&pin))
}

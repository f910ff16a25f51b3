//! Operators of a station, their logins and their passwords.

use crate::common::at;
use crate::memory::{Memory, on_every_store};
use crate::station_store::answer;
use zmon_domain::ids::OperatorId;
use zmon_domain::role::Role;
use zmon_station::ports::{LoginRow, OperatorRow, Refusal, StationWrite};

on_every_store! {
    accounts_and_logins,
    a_password_is_changed_once_and_ends_other_logins,
    a_made_password_and_a_barred_account_end_every_login,
}

async fn accounts_and_logins(memory: &Memory) {
    let store = memory.open().await;
    let account = |name: &str, role| OperatorRow {
        id: OperatorId::parse(name).unwrap(),
        role,
        password_hash: "$argon2id$x".to_owned(),
        disabled: false,
        one_time: false,
        created_at: at(5),
    };
    let ada = account("ada", Role::Administrator);
    let tess = account("tess", Role::Technician);
    let writes =
        vec![StationWrite::AddOperator(tess.clone()), StationWrite::AddOperator(ada.clone())];
    answer(&*store, writes).await.unwrap();
    let again =
        answer(&*store, vec![StationWrite::AddOperator(account("ada", Role::Auditor))]).await;
    assert_eq!(again, Err(Refusal::OperatorExists));
    assert_eq!(store.operator(&ada.id).await.unwrap(), Some(ada.clone()));
    assert_eq!(store.operators().await.unwrap(), [ada, tess.clone()]);

    let login = |n: u8, expires| LoginRow {
        token_hash: [n; 32],
        operator: tess.id.clone(),
        role: tess.role,
        expires_at: at(expires),
    };
    let add = |n, expires| StationWrite::AddLogin(login(n, expires));
    answer(&*store, vec![add(1, 100), add(2, 200), add(3, 300)]).await.unwrap();
    answer(&*store, vec![StationWrite::DropLogin { token_hash: [3; 32] }]).await.unwrap();
    answer(&*store, vec![StationWrite::DropLoginsBefore(at(200))]).await.unwrap();
    assert_eq!(store.login(&[1; 32]).await.unwrap(), None);
    assert_eq!(store.login(&[2; 32]).await.unwrap(), Some(login(2, 200)));
    assert_eq!(store.login(&[3; 32]).await.unwrap(), None);
}

#[tokio::test]
async fn accounts_of_the_schema_before_have_passwords_of_their_own() {
    let home = Memory::sqlite();
    let store = home.open().await;
    let tess = OperatorRow {
        id: OperatorId::parse("tess").unwrap(),
        role: Role::Technician,
        password_hash: "$argon2id$x".to_owned(),
        disabled: false,
        one_time: false,
        created_at: at(5),
    };
    answer(&*store, vec![StationWrite::AddOperator(tess.clone())]).await.unwrap();
    drop(store);
    let mut sql = home.sql().await;
    sql.run(
        "ALTER TABLE operators DROP COLUMN one_time; \
         DELETE FROM _sqlx_migrations WHERE version = 10; \
         PRAGMA user_version = 4",
    )
    .await;
    drop(sql);
    assert_eq!(home.open().await.operators().await.unwrap(), [tess]);
}

async fn a_password_is_changed_once_and_ends_other_logins(memory: &Memory) {
    let store = memory.open().await;
    let account = |name: &str| OperatorRow {
        id: OperatorId::parse(name).unwrap(),
        role: Role::Technician,
        password_hash: "$argon2id$old".to_owned(),
        disabled: false,
        one_time: true,
        created_at: at(5),
    };
    let (tess, tom) = (account("tess"), account("tom"));
    let login = |n: u8, of: &OperatorRow| {
        StationWrite::AddLogin(LoginRow {
            token_hash: [n; 32],
            operator: of.id.clone(),
            role: of.role,
            expires_at: at(100),
        })
    };
    let accounts = [&tess, &tom].map(|row| StationWrite::AddOperator(row.clone()));
    let logins = [login(1, &tess), login(2, &tess), login(3, &tom)];
    answer(&*store, accounts.into_iter().chain(logins).collect()).await.unwrap();
    let change = || StationWrite::SetPassword {
        operator: tess.id.clone(),
        before: "$argon2id$old".to_owned(),
        after: "$argon2id$new".to_owned(),
        keep: [1; 32],
    };
    answer(&*store, vec![change()]).await.unwrap();
    let changed =
        OperatorRow { password_hash: "$argon2id$new".to_owned(), one_time: false, ..tess.clone() };
    assert_eq!(store.operator(&tess.id).await.unwrap(), Some(changed));
    assert_eq!(store.operator(&tom.id).await.unwrap(), Some(tom));
    assert!(store.login(&[1; 32]).await.unwrap().is_some());
    assert_eq!(store.login(&[2; 32]).await.unwrap(), None);
    assert!(store.login(&[3; 32]).await.unwrap().is_some());
    assert_eq!(answer(&*store, vec![change()]).await, Err(Refusal::PasswordStale));
}

async fn a_made_password_and_a_barred_account_end_every_login(memory: &Memory) {
    let store = memory.open().await;
    let account = |name: &str, role| OperatorRow {
        id: OperatorId::parse(name).unwrap(),
        role,
        password_hash: "$argon2id$old".to_owned(),
        disabled: false,
        one_time: false,
        created_at: at(5),
    };
    let (tess, ada, eve) = (
        account("tess", Role::Technician),
        account("ada", Role::Administrator),
        account("eve", Role::Administrator),
    );
    let login = |n: u8, of: &OperatorRow| {
        StationWrite::AddLogin(LoginRow {
            token_hash: [n; 32],
            operator: of.id.clone(),
            role: of.role,
            expires_at: at(100),
        })
    };
    let accounts = [&tess, &ada, &eve].map(|row| StationWrite::AddOperator(row.clone()));
    let logins = [login(1, &tess), login(2, &tess), login(3, &ada)];
    answer(&*store, accounts.into_iter().chain(logins).collect()).await.unwrap();

    let reset = |of: &OperatorRow| StationWrite::OneTimePassword {
        operator: of.id.clone(),
        hash: "$argon2id$made".to_owned(),
    };
    answer(&*store, vec![reset(&tess)]).await.unwrap();
    let made =
        OperatorRow { password_hash: "$argon2id$made".to_owned(), one_time: true, ..tess.clone() };
    assert_eq!(store.operator(&tess.id).await.unwrap(), Some(made));
    for token in [[1; 32], [2; 32]] {
        assert_eq!(store.login(&token).await.unwrap(), None);
    }
    assert!(store.login(&[3; 32]).await.unwrap().is_some(), "of somebody else");

    let access = |of: &OperatorRow, disabled| StationWrite::OperatorAccess {
        operator: of.id.clone(),
        disabled,
    };
    answer(&*store, vec![access(&ada, true)]).await.unwrap();
    assert!(store.operator(&ada.id).await.unwrap().unwrap().disabled);
    assert_eq!(store.login(&[3; 32]).await.unwrap(), None);
    let last = answer(&*store, vec![access(&eve, true)]).await;
    assert_eq!(last, Err(Refusal::LastAdministrator));
    answer(&*store, vec![access(&tess, true)]).await.unwrap();
    answer(&*store, vec![access(&ada, false), access(&eve, true)]).await.unwrap();
    assert!(!store.operator(&ada.id).await.unwrap().unwrap().disabled);

    let ghost = account("ghost", Role::Administrator);
    for write in [access(&ghost, true), access(&ghost, false), reset(&ghost)] {
        assert_eq!(answer(&*store, vec![write]).await, Err(Refusal::OperatorUnknown));
    }
}

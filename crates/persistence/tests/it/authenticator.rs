//! Local operators (D22).

use core::time::Duration;
use std::sync::Arc;

use crate::common::{Home, now, rng, seeded};
use zmon_crypto::Suite;
use zmon_domain::error::{ErrorCode, ErrorReport};
use zmon_domain::ids::OperatorId;
use zmon_domain::role::{Action, OperatorProof, Role};
use zmon_domain::time::{Now, Tick};
use zmon_persistence::{FileAuthenticator, FileKeyStore, HashCost, PersistenceError, PrivateDir};
use zmon_provisioning::ports::{Authenticator, Pin};

const PIN: &str = "314159";
const WRONG: &str = "271828";

struct Bench {
    dir: Arc<PrivateDir>,
    keys: FileKeyStore,
    operators: FileAuthenticator,
    home: Home,
}

impl Bench {
    fn new() -> Self {
        let home = Home::new();
        let dir = home.dir();
        let keys = FileKeyStore::create(Arc::clone(&dir), Suite::P256, &mut seeded(1)).unwrap();
        let operators = open(&dir, &keys).unwrap();
        Self { dir, keys, operators, home }
    }

    async fn with_administrator() -> Self {
        let bench = Self::new();
        bench.operators.create_administrator(id("ada"), pin(PIN)).await.unwrap();
        bench
    }

    fn restart(&mut self) {
        self.operators = open(&self.dir, &self.keys).unwrap();
    }

    async fn login(&self, name: &str, digits: &str, at: u64) -> Result<OperatorProof, ErrorCode> {
        let answer = self.operators.authenticate(&id(name), pin(digits), &seconds(at)).await;
        answer.map_err(|report: ErrorReport| report.code())
    }
}

fn open(
    dir: &Arc<PrivateDir>,
    keys: &FileKeyStore,
) -> Result<FileAuthenticator, zmon_persistence::PersistenceError> {
    FileAuthenticator::open_with(Arc::clone(dir), keys, rng(8), HashCost::LEAST)
}

fn id(name: &str) -> OperatorId {
    OperatorId::parse(name).unwrap()
}

fn pin(digits: &str) -> Pin {
    Pin::parse(digits).unwrap()
}

fn seconds(at: u64) -> Now {
    Now { mono: Tick::new(Duration::from_secs(at)), ..now() }
}

#[tokio::test]
async fn without_an_administrator_nobody_gets_in_and_no_pin_is_given() {
    let bench = Bench::new();
    for digits in ["000000", "123456", "111111"] {
        assert_eq!(bench.login("admin", digits, 0).await.err(), Some(ErrorCode::NoOperators));
    }
    assert!(!bench.home.file("operators.json").exists());
    assert!(bench.operators.list().await.is_empty());
}

#[tokio::test]
async fn a_pin_gives_a_proof_of_the_operators_own_role_for_a_while() {
    let bench = Bench::with_administrator().await;
    let proof = bench.login("ada", PIN, 100).await.unwrap();
    assert_eq!((proof.id().as_str(), proof.role()), ("ada", Role::Administrator));
    assert!(proof.authorise(Action::Deprovision, proof.expires()).is_ok());
    let late = proof.expires() + Duration::from_nanos(1);
    assert_eq!(proof.authorise(Action::Deprovision, late), Err(ErrorCode::ProofExpired));
    assert_eq!(bench.login("ada", WRONG, 100).await.err(), Some(ErrorCode::AuthenticationFailed));
    assert_eq!(bench.login("bob", PIN, 100).await.err(), Some(ErrorCode::AuthenticationFailed));
}

#[tokio::test]
async fn a_pin_that_anybody_would_try_first_is_not_set() {
    let bench = Bench::new();
    let weak = Some(ErrorCode::PinTooWeak);
    let refused = |result: Result<(), PersistenceError>| result.err().map(|error| error.code());
    for digits in ["000000", "777777777", "123456", "890123", "987654", "210987"] {
        let first = bench.operators.create_administrator(id("ada"), pin(digits)).await;
        assert_eq!(refused(first), weak, "{digits}");
    }
    assert!(bench.operators.list().await.is_empty());
    let bench = Bench::with_administrator().await;
    let ada = bench.login("ada", PIN, 0).await.unwrap();
    let then = seconds(0);
    let add = bench.operators.add_operator(&ada, &then, id("eve"), Role::Technician, pin("111111"));
    assert_eq!(refused(add.await), weak);
    let set = bench.operators.set_pin(&ada, &then, id("ada"), pin("654321"));
    assert_eq!(refused(set.await), weak);
    bench.login("ada", PIN, 1).await.expect("the PIN of before");
    // A wrong one is wrong, not weak.
    let wrong = bench.login("ada", "123456", 2).await.err();
    assert_eq!(wrong, Some(ErrorCode::AuthenticationFailed));
}

#[tokio::test]
async fn only_an_administrator_adds_operators_and_only_once_by_name() {
    let mut bench = Bench::with_administrator().await;
    let second = bench.operators.create_administrator(id("eve"), pin(PIN)).await;
    assert_eq!(second.unwrap_err().code(), ErrorCode::StateConflict);

    let ada = bench.login("ada", PIN, 0).await.unwrap();
    let add = |by: OperatorProof, name: &'static str, role, at| {
        let operators = &bench.operators;
        async move {
            let added = operators.add_operator(&by, &seconds(at), id(name), role, pin(WRONG)).await;
            added.map_err(|error| error.code())
        }
    };
    assert_eq!(add(ada.clone(), "tess", Role::Technician, 1).await, Ok(()));
    assert_eq!(add(ada.clone(), "tess", Role::Auditor, 1).await, Err(ErrorCode::StateConflict));
    assert_eq!(add(ada, "late", Role::Auditor, 100_000).await, Err(ErrorCode::ProofExpired));
    let tess = bench.login("tess", WRONG, 2).await.unwrap();
    assert_eq!(tess.role(), Role::Technician);
    assert_eq!(add(tess, "mole", Role::Administrator, 2).await, Err(ErrorCode::NotPermitted));

    bench.restart();
    let list = bench.operators.list().await;
    let list: Vec<_> = list.iter().map(|entry| (entry.id.as_str(), entry.role)).collect();
    assert_eq!(list, [("ada", Role::Administrator), ("tess", Role::Technician)]);
    assert!(bench.login("tess", WRONG, 3).await.is_ok());
}

#[tokio::test]
async fn an_administrator_changes_pins_unlocks_and_removes_but_never_the_last_of_them() {
    let mut bench = Bench::with_administrator().await;
    let ada = bench.login("ada", PIN, 0).await.unwrap();
    let operators = &bench.operators;
    operators.add_operator(&ada, &now(), id("tess"), Role::Technician, pin(PIN)).await.unwrap();
    for _ in 0..3 {
        assert!(bench.login("tess", WRONG, 0).await.is_err());
    }
    assert!(operators.is_locked(&id("tess"), &now()).await.unwrap());
    assert!(!operators.is_locked(&id("ada"), &now()).await.unwrap());
    operators.unlock(&ada, &now(), id("tess")).await.unwrap();
    assert!(!operators.is_locked(&id("tess"), &now()).await.unwrap());
    let tess = bench.login("tess", PIN, 0).await.unwrap();

    let code = |done: Result<(), zmon_persistence::PersistenceError>| done.unwrap_err().code();
    let by_tess = [
        code(operators.unlock(&tess, &now(), id("ada")).await),
        code(operators.set_pin(&tess, &now(), id("ada"), pin(WRONG)).await),
        code(operators.remove_operator(&tess, &now(), id("ada")).await),
    ];
    assert_eq!(by_tess, [ErrorCode::NotPermitted; 3]);
    let of_nobody = [
        code(operators.unlock(&ada, &now(), id("bob")).await),
        code(operators.set_pin(&ada, &now(), id("bob"), pin(WRONG)).await),
        code(operators.remove_operator(&ada, &now(), id("bob")).await),
    ];
    assert_eq!(of_nobody, [ErrorCode::OperatorUnknown; 3]);

    // A new PIN forgets the tries with the old one.
    for _ in 0..3 {
        assert!(bench.login("tess", WRONG, 1).await.is_err());
    }
    operators.set_pin(&ada, &now(), id("tess"), pin(WRONG)).await.unwrap();
    assert!(bench.login("tess", WRONG, 1).await.is_ok());
    assert_eq!(bench.login("tess", PIN, 1).await.err(), Some(ErrorCode::AuthenticationFailed));

    let last = operators.remove_operator(&ada, &now(), id("ada")).await;
    assert_eq!(code(last), ErrorCode::LastAdministrator);
    let second = Role::Administrator;
    operators.add_operator(&ada, &now(), id("eve"), second, pin(PIN)).await.unwrap();
    operators.remove_operator(&ada, &now(), id("ada")).await.unwrap();
    operators.remove_operator(&ada, &now(), id("tess")).await.unwrap();
    bench.restart();
    let left: Vec<_> = bench.operators.list().await.into_iter().map(|one| one.id).collect();
    assert_eq!(left, [id("eve")]);
    assert_eq!(bench.login("ada", PIN, 2).await.err(), Some(ErrorCode::AuthenticationFailed));
}

#[tokio::test]
async fn three_wrong_pins_lock_for_30_seconds_then_twice_as_long() {
    let bench = Bench::with_administrator().await;
    let failed = Some(ErrorCode::AuthenticationFailed);
    let locked = Some(ErrorCode::AuthenticationLocked);
    for _ in 0..3 {
        assert_eq!(bench.login("ada", WRONG, 10).await.err(), failed);
    }
    assert_eq!(bench.login("ada", PIN, 10).await.err(), locked, "the right PIN too");
    assert_eq!(bench.login("ada", PIN, 39).await.err(), locked);
    assert_eq!(bench.login("ada", WRONG, 40).await.err(), failed);
    assert_eq!(bench.login("ada", PIN, 99).await.err(), locked);
    assert!(bench.login("ada", PIN, 100).await.is_ok());
    // Success forgets the failures.
    assert_eq!(bench.login("ada", WRONG, 101).await.err(), failed);
    assert_eq!(bench.login("ada", WRONG, 101).await.err(), failed);
    assert!(bench.login("ada", PIN, 101).await.is_ok());
}

#[tokio::test]
async fn pulling_the_plug_refunds_nothing() {
    let mut bench = Bench::with_administrator().await;
    for _ in 0..3 {
        assert!(bench.login("ada", WRONG, 10).await.is_err());
        bench.restart();
    }
    // Clocks of different runs have nothing in common: the wait starts again, whole.
    assert_eq!(bench.login("ada", PIN, 0).await.err(), Some(ErrorCode::AuthenticationLocked));
    assert_eq!(bench.login("ada", PIN, 29).await.err(), Some(ErrorCode::AuthenticationLocked));
    assert!(bench.login("ada", PIN, 30).await.is_ok());
    bench.restart();
    assert!(bench.login("ada", PIN, 0).await.is_ok());
}

#[tokio::test]
async fn an_unknown_operator_is_treated_as_a_known_one() {
    let bench = Bench::with_administrator().await;
    let mut answers = [Vec::new(), Vec::new()];
    for (name, answers) in ["ada", "nobody"].into_iter().zip(&mut answers) {
        for at in [0, 0, 0, 0, 29, 30, 31, 89, 90] {
            answers.push(bench.login(name, WRONG, at).await.err());
        }
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn one_operators_failures_lock_nobody_else_out() {
    let bench = Bench::with_administrator().await;
    for _ in 0..10 {
        assert!(bench.login("nobody", WRONG, 0).await.is_err());
    }
    assert!(bench.login("ada", PIN, 0).await.is_ok());
}

#[tokio::test]
async fn a_try_that_cannot_be_counted_is_not_made() {
    let bench = Bench::with_administrator().await;
    // The count can be written no more: its place is taken by something that is no file.
    std::fs::create_dir(bench.home.file("operators.tries.json")).unwrap();
    std::fs::write(bench.home.file("operators.tries.json/x"), b"").unwrap();
    let refused = bench.login("ada", PIN, 0).await.err();
    assert_eq!(refused, Some(ErrorCode::KeyStoreUnavailable));
}

#[tokio::test]
async fn an_edited_file_makes_nobody_more_than_they_were() {
    let mut bench = Bench::with_administrator().await;
    let ada = bench.login("ada", PIN, 0).await.unwrap();
    bench
        .operators
        .add_operator(&ada, &now(), id("tess"), Role::Technician, pin(WRONG))
        .await
        .unwrap();
    let path = bench.home.file("operators.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let failed = Some(ErrorCode::AuthenticationFailed);

    std::fs::write(&path, text.replace("technician", "administrator")).unwrap();
    bench.restart();
    assert_eq!(bench.login("tess", WRONG, 0).await.err(), failed, "promoted");
    std::fs::write(&path, text.replace("\"tess\"", "\"mole\"")).unwrap();
    bench.restart();
    assert_eq!(bench.login("mole", WRONG, 0).await.err(), failed, "renamed");

    // A copied file is worth nothing on another device: the pepper is not in it.
    let stranger = Bench::new();
    std::fs::write(stranger.home.file("operators.json"), &text).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(stranger.home.file("operators.json"), mode).unwrap();
    let keys_dir = Home::new();
    let other = FileKeyStore::create(keys_dir.dir(), Suite::P256, &mut seeded(50)).unwrap();
    let operators = open(&stranger.dir, &other).unwrap();
    let answer = operators.authenticate(&id("tess"), pin(WRONG), &now()).await;
    assert_eq!(answer.err().map(|report| report.code()), failed);
}

#[tokio::test]
async fn damaged_files_are_refused() {
    let bench = Bench::with_administrator().await;
    let path = bench.home.file("operators.json");
    let good = std::fs::read_to_string(&path).unwrap();
    let entry = good.find("$argon2id").unwrap();
    let bad = [
        String::new(),
        "{}".to_owned(),
        good.replace("\"operators\"", "\"operaters\""),
        good.replace("\"role\"", "\"extra\": 1, \"role\""),
        good.replace("administrator", "root"),
        good.replace("\"ada\"", "\"a b\""),
        good.replace("$argon2id$", "$argon2i$"),
        good.replace("m=8,", "m=4194304,"),
        good.replace("t=1,", "t=4000000,"),
        good.replace("p=1$", "p=9$"),
        format!("{}x", &good[..entry]),
        good[..good.len() / 2].to_owned(),
        format!("{good}{good}"),
    ];
    for text in bad {
        std::fs::write(&path, &text).unwrap();
        let code = open(&bench.dir, &bench.keys).err().map(|error| error.code());
        assert_eq!(code, Some(ErrorCode::StorageCorrupt), "{text}");
    }
    std::fs::write(&path, good.replace("\"v\": 1", "\"v\": 2")).unwrap();
    let code = open(&bench.dir, &bench.keys).err().map(|error| error.code());
    assert_eq!(code, Some(ErrorCode::SchemaNewer));
    std::fs::write(&path, &good).unwrap();
    let tries = bench.home.file("operators.tries.json");
    std::fs::write(&tries, "{\"v\":1}").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&tries, mode).unwrap();
    let code = open(&bench.dir, &bench.keys).err().map(|error| error.code());
    assert_eq!(code, Some(ErrorCode::StorageCorrupt));
}

#[tokio::test]
async fn the_default_cost_is_the_one_recommended() {
    let cost = HashCost::default();
    assert_eq!((cost.memory_kib, cost.passes), (19 * 1024, 2));
    let bench = Bench::new();
    let dir = Arc::clone(&bench.dir);
    let operators = FileAuthenticator::open(dir, &bench.keys, rng(9)).unwrap();
    operators.create_administrator(id("ada"), pin(PIN)).await.unwrap();
    let text = std::fs::read_to_string(bench.home.file("operators.json")).unwrap();
    assert!(text.contains("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
    assert!(operators.authenticate(&id("ada"), pin(PIN), &now()).await.is_ok());
}

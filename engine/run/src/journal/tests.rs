//! What a journal survives, and what it names.

use std::path::Path;

use longhaul_model::ids::RunId;
use longhaul_saga::event::Observation;
use longhaul_saga::intent::End;
use longhaul_saga::{Entry, Event, Intent, Status};
use rusqlite::Connection;
use serde_json::json;

use super::{Bundle, Error, Journal, LARGE_BYTES, Lost, Reader, Writer, read_export, rechain, write_export};

fn run() -> RunId {
    "run-a".parse().unwrap()
}

fn entry(number: u64) -> Entry {
    Entry::Event(Event::Observation(Observation {
        source: "test".into(),
        payload: json!({ "number": number }),
    }))
}

/// A journal of five records in three commits.
async fn filled(directory: &Path) -> Journal {
    let journal = Journal::open(directory, 1).unwrap();
    journal.append(&run(), 10, vec![entry(1), entry(2)]).await.unwrap();
    journal.append(&run(), 20, vec![entry(3)]).await.unwrap();
    let last = journal.append(&run(), 30, vec![entry(4), entry(5)]).await.unwrap();
    assert_eq!(last.iter().map(|record| record.seq).collect::<Vec<_>>(), [4, 5]);
    journal
}

/// Changes the database behind the journal's back.
fn tamper(directory: &Path, sql: &str) {
    let db = Connection::open(directory.join("journal.db")).unwrap();
    db.execute_batch(&format!("DROP TRIGGER records_stay; DROP TRIGGER records_remain; {sql}")).unwrap();
}

fn broken_at(directory: &Path) -> u64 {
    match Reader::open(directory).unwrap().verify() {
        Err(Error::Broken(broken)) => broken.seq,
        other => panic!("{other:?}"),
    }
}

/// What was appended is read back in order, by the same and by another connection, and verifies.
#[tokio::test]
async fn records_come_back_and_verify() {
    let folder = tempfile::tempdir().unwrap();
    let journal = filled(folder.path()).await;
    let records = journal.reader().unwrap().records(&run()).unwrap();
    assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(records[2].entry, entry(3));
    let verified = Reader::open(folder.path()).unwrap().verify().unwrap();
    assert_eq!((verified.runs, verified.records), (1, 5));
}

/// One changed byte is found and its record named: in the middle, in the first and in the last record.
#[tokio::test]
async fn a_changed_record_is_named() {
    for seq in [1, 3, 5] {
        let folder = tempfile::tempdir().unwrap();
        drop(filled(folder.path()).await);
        let sql = format!("UPDATE records SET payload = replace(payload, '{seq}', '9') WHERE seq = {seq}");
        tamper(folder.path(), &sql);
        assert_eq!(broken_at(folder.path()), seq);
    }
}

/// A record that is missing, in the middle or at the end, is named.
#[tokio::test]
async fn a_missing_record_is_named() {
    for seq in [2, 5] {
        let folder = tempfile::tempdir().unwrap();
        drop(filled(folder.path()).await);
        tamper(folder.path(), &format!("DELETE FROM records WHERE seq = {seq}"));
        assert_eq!(broken_at(folder.path()), seq);
    }
}

/// SQLite refuses to change or delete a record.
#[tokio::test]
async fn records_are_append_only() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path()).await);
    let db = Connection::open(folder.path().join("journal.db")).unwrap();
    for sql in ["UPDATE records SET kind = 'x'", "DELETE FROM records"] {
        let said = db.execute_batch(sql).unwrap_err().to_string();
        assert!(said.contains("append-only"), "{said}");
    }
}

/// A second controller is refused with the first one's identity, and may work once the first is gone; its generation
/// is higher.
#[tokio::test]
async fn a_second_controller_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let first = filled(folder.path()).await;
    let refused = Journal::open(folder.path(), 2).unwrap_err();
    let said = refused.to_string();
    assert!(matches!(refused, Error::Held(_)), "{said}");
    assert!(said.contains(&format!("pid {}", std::process::id())), "{said}");
    let generation = first.owner().generation;
    drop(first);
    assert_eq!(Journal::open(folder.path(), 3).unwrap().owner().generation, generation + 1);
}

/// A controller whose directory was taken over by a higher generation writes nothing more and says that it must stop.
#[tokio::test]
async fn a_fenced_controller_stops() {
    let folder = tempfile::tempdir().unwrap();
    let journal = filled(folder.path()).await;
    tamper(folder.path(), "UPDATE owner SET generation = generation + 1");
    for _ in 0..2 {
        let error = journal.append(&run(), 40, vec![entry(6)]).await.unwrap_err();
        assert!(error.must_stop(), "{error}");
    }
    assert_eq!(journal.reader().unwrap().records(&run()).unwrap().len(), 5);
}

/// A failed commit stops the journal: what comes after is refused, and a later controller finds the durable records.
#[tokio::test]
async fn a_failed_commit_stops_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let journal = filled(folder.path()).await;
    tamper(
        folder.path(),
        "CREATE TRIGGER broken BEFORE INSERT ON records BEGIN SELECT RAISE(ABORT, 'disk full'); END;",
    );
    let error = journal.append(&run(), 40, vec![entry(6)]).await.unwrap_err();
    assert!(error.must_stop() && error.to_string().contains("disk full"), "{error}");
    tamper_again(folder.path(), "DROP TRIGGER broken");
    assert!(journal.append(&run(), 50, vec![entry(7)]).await.unwrap_err().must_stop());
    drop(journal);
    let later = Journal::open(folder.path(), 5).unwrap();
    assert_eq!(later.append(&run(), 60, vec![entry(8)]).await.unwrap()[0].seq, 6);
    later.reader().unwrap().verify().unwrap();
}

fn tamper_again(directory: &Path, sql: &str) {
    Connection::open(directory.join("journal.db")).unwrap().execute_batch(sql).unwrap();
}

/// A torn write-ahead log loses whole commits from its end and nothing else; a torn database is refused, never half
/// read.
#[tokio::test]
async fn torn_files_lose_whole_commits_or_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let journal = filled(folder.path()).await;
    let torn = tempfile::tempdir().unwrap();
    let wal = std::fs::read(folder.path().join("journal.db-wal")).unwrap();
    let database = std::fs::read(folder.path().join("journal.db")).unwrap();
    let used = wal.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    for keep in (0..used).step_by(997) {
        std::fs::write(torn.path().join("journal.db"), &database).unwrap();
        std::fs::write(torn.path().join("journal.db-wal"), &wal[..keep]).unwrap();
        let _ = std::fs::remove_file(torn.path().join("journal.db-shm"));
        let reader = match Journal::open(torn.path(), 2) {
            Ok(journal) => journal.reader().unwrap(),
            Err(error) => panic!("{keep} bytes of the log: {error}"),
        };
        let left = reader.verify().unwrap().records;
        assert!([0, 2, 3, 5].contains(&left), "{keep} bytes of the log leave {left} records");
    }
    drop(journal);
    let whole = std::fs::read(folder.path().join("journal.db")).unwrap();
    std::fs::write(torn.path().join("journal.db"), &whole[..whole.len() / 2]).unwrap();
    for name in ["journal.db-wal", "journal.db-shm"] {
        let _ = std::fs::remove_file(torn.path().join(name));
    }
    let read = Reader::open(torn.path()).and_then(|reader| reader.verify());
    assert!(matches!(read, Err(Error::Database { .. } | Error::Broken(_))), "{read:?}");
}

/// A journal of a newer form, and a record of a newer form in it, are refused with the version in the message.
#[tokio::test]
async fn newer_journals_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path()).await);
    let bundle = Reader::open(folder.path()).unwrap().bundle(&run()).unwrap();
    let mut headers: Vec<_> = bundle.records.into_iter().map(|stored| stored.header).collect();
    headers[3].version = 2;
    let refused = read_export(&export(&rechain(headers))).unwrap_err().to_string();
    assert_eq!(refused, "record 4 of run `run-a` has record version 2; this binary reads record version 1");

    tamper_again(folder.path(), "PRAGMA user_version = 7");
    let refused = Journal::open(folder.path(), 2).unwrap_err().to_string();
    assert_eq!(refused, "the journal has format 7; this binary reads and writes format 1");
}

const WRITER: Writer<'_> =
    Writer { program: "longhaul 0.1.0", command: "longhaul journal export", redacted: false };

fn export(bundle: &Bundle) -> String {
    let mut lines = Vec::new();
    write_export(&mut lines, WRITER, bundle).unwrap();
    String::from_utf8(lines).unwrap()
}

/// An export is imported elsewhere as it was, once.
#[tokio::test]
async fn exports_travel() {
    let folder = tempfile::tempdir().unwrap();
    let journal = filled(folder.path()).await;
    let bundle = journal.reader().unwrap().bundle(&run()).unwrap();
    let again = read_export(&export(&bundle)).unwrap();
    assert_eq!((again.about.records, again.bundle.records.len(), again.records.len()), (5, 5, 5));

    let elsewhere = tempfile::tempdir().unwrap();
    let other = Journal::open(elsewhere.path(), 1).unwrap();
    other.import(again.bundle.clone()).await.unwrap();
    assert_eq!(other.reader().unwrap().bundle(&run()).unwrap(), bundle);
    other.reader().unwrap().verify().unwrap();
    assert!(matches!(other.import(again.bundle).await, Err(Error::RunExists(_))));
}

/// Fractions come back as they were written, to the last digit: the chain's hashes are over their text.
#[tokio::test]
async fn fractions_survive_an_export() {
    let seed = std::env::var("LONGHAUL_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("LONGHAUL_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path(), 1).unwrap();
    let fractions: Vec<f64> = (0..1_000).map(|_| random.f64()).collect();
    let payload = json!({ "fractions": fractions });
    let seen = Entry::Event(Event::Observation(Observation { source: "test".into(), payload }));
    let written = journal.append(&run(), 10, vec![seen.clone(), entry(2)]).await.unwrap();
    assert_eq!(written[0].entry, seen);
    let bundle = journal.reader().unwrap().bundle(&run()).unwrap();
    let again = read_export(&export(&bundle)).unwrap();
    assert_eq!(again.bundle, bundle);
    assert_eq!(again.records[0].entry, seen);
}

/// A changed line, the last one too, a torn file and a line too many are named by their record.
#[tokio::test]
async fn a_broken_export_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let journal = filled(folder.path()).await;
    let text = export(&journal.reader().unwrap().bundle(&run()).unwrap());
    let broken = |text: &str| match read_export(text) {
        Err(Error::Broken(broken)) => broken.seq,
        other => panic!("{other:?}"),
    };
    assert_eq!(broken(&text.replacen("\"number\":3", "\"number\":4", 1)), 3);
    assert_eq!(broken(&text.replacen("\"number\":5", "\"number\":6", 1)), 5);
    let torn: Vec<_> = text.lines().take(4).collect();
    assert_eq!(broken(&torn.join("\n")), 4);
    assert_eq!(broken(text.lines().next().unwrap()), 1);
    let last = text.lines().last().unwrap();
    assert_eq!(broken(&format!("{text}{last}\n")), 6);
    assert_eq!(broken(&text.replacen("\"run\":\"run-a\",\"seq\":2", "\"run\":\"run-b\",\"seq\":2", 1)), 2);
}

/// Files that are no exports, exports of a newer form and lines that are no records are told apart.
#[tokio::test]
async fn foreign_and_newer_exports_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let journal = filled(folder.path()).await;
    let text = export(&journal.reader().unwrap().bundle(&run()).unwrap());
    let said = |text: &str| read_export(text).unwrap_err().to_string();
    for foreign in ["", "kind: Workflow\n", "{\"run\":\"run-a\"}\n", "[]"] {
        assert_eq!(said(foreign), "the file is no export of a journal: its first line does not say so");
    }
    let newer = text.replacen("\"export\":1", "\"export\":2,\"more\":[]", 1);
    assert_eq!(said(&newer), "the export has format 2; this binary reads format 1");
    assert_eq!(said(&format!("{text}{{\"half\":")), "line 7 is not in the form of an export");
    assert!(matches!(write_export(&mut Vec::new(), WRITER, &Bundle::default()), Err(Error::NoExport)));
}

/// An entry with a value that is put away.
fn large_entry() -> Entry {
    let payload = json!({ "lines": "x".repeat(LARGE_BYTES) });
    Entry::Event(Event::Observation(Observation { source: "test".into(), payload }))
}

/// The files of the large values in a journal's folder.
fn value_files(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = |folder: &Path| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries(&directory.join("blobs")).flat_map(|folder| entries(&folder).collect::<Vec<_>>()).collect()
}

/// A large value is kept once in a file of its own, whoever names it, and comes back whole: to the saga, to who reads records,
/// and from an export elsewhere.
#[tokio::test]
async fn large_values_live_beside_the_records() {
    let folder = tempfile::tempdir().unwrap();
    let journal = filled(folder.path()).await;
    journal.append(&run(), 40, vec![large_entry(), large_entry()]).await.unwrap();
    assert_eq!(value_files(folder.path()).len(), 1);
    let reader = journal.reader().unwrap();
    let bundle = reader.bundle(&run()).unwrap();
    assert!(bundle.records.iter().all(|record| record.text.len() < 1_000));
    let records = reader.records(&run()).unwrap();
    assert_eq!(records[5].entry, large_entry());
    let whole = reader.stored(&run()).unwrap();
    assert_eq!(whole[6].header.payload["payload"]["lines"].as_str().unwrap().len(), LARGE_BYTES);

    let again = read_export(&export(&bundle)).unwrap();
    assert_eq!((again.about.values, &again.records), (1, &records));
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Journal::open(elsewhere.path(), 1).unwrap();
    other.import(again.bundle).await.unwrap();
    assert_eq!(other.reader().unwrap().records(&run()).unwrap(), records);
    other.reader().unwrap().verify().unwrap();
}

/// A value that is missing or was changed is named with its record, by whoever reads it and by a verification; the other runs
/// are read as before.
#[tokio::test]
async fn a_lost_value_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let journal = filled(folder.path()).await;
    let other = "run-b".parse().unwrap();
    journal.append(&other, 40, vec![entry(1), large_entry()]).await.unwrap();
    let [file]: [_; 1] = value_files(folder.path()).try_into().unwrap();
    let lost = |read: Result<(), Error>| match read {
        Err(Error::Lost { seq: 2, source, .. }) => source,
        other => panic!("{other:?}"),
    };
    let reader = journal.reader().unwrap();
    std::fs::write(&file, "{}").unwrap();
    assert!(matches!(lost(reader.records(&other).map(drop)), Lost::Changed { .. }));
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(lost(reader.records(&other).map(drop)), Lost::Missing { .. }));
    assert!(matches!(lost(reader.verify().map(drop)), Lost::Missing { .. }));
    assert_eq!(reader.records(&run()).unwrap().len(), 5);
}

/// An export whose value was changed, or taken out, is refused.
#[tokio::test]
async fn an_export_needs_its_values() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path(), 1).unwrap();
    journal.append(&run(), 40, vec![large_entry()]).await.unwrap();
    let text = export(&journal.reader().unwrap().bundle(&run()).unwrap());
    let changed = text.replacen("xxx", "xxy", 1);
    assert!(matches!(read_export(&changed), Err(Error::WrongValue { line: 2 })));
    let mut bundle = read_export(&text).unwrap().bundle;
    bundle.values.clear();
    assert!(matches!(read_export(&export(&bundle)), Err(Error::NotThere { seq: 1, .. })));
}

fn end(status: Status) -> Entry {
    let (outputs, outputs_error, instructions) = (serde_json::Map::new(), None, Vec::new());
    Entry::Intent(Intent::End(End { status, outputs, outputs_error, instructions }))
}

/// A run that is over is deleted whole, with the values that nobody else names, and what stays tells of it; one that goes on is
/// not, and the others are untouched.
#[tokio::test]
async fn a_run_that_is_over_can_be_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let journal = filled(folder.path()).await;
    let over = "run-over".parse().unwrap();
    let many = (0..200).map(entry).chain([large_entry(), end(Status::Failed), entry(3)]).collect();
    let last = journal.append(&over, 40, many).await.unwrap().len() as u64;
    let refused = journal.delete(&run(), 50, "operator: too old").await.unwrap_err().to_string();
    assert_eq!(refused, "run `run-a` is not over: it is running");
    assert!(matches!(journal.delete(&"none".parse().unwrap(), 50, "").await, Err(Error::NoSuchRun(_))));

    journal.delete(&over, 50, "operator: too old").await.unwrap();
    let reader = journal.reader().unwrap();
    assert!(matches!(reader.records(&over), Err(Error::NoSuchRun(_))));
    let [gone]: [_; 1] = reader.deleted().unwrap().try_into().unwrap();
    assert_eq!((gone.run, gone.why.as_str(), gone.records), (over.clone(), "operator: too old", last));
    drop(reader);
    let freed = journal.compact().await.unwrap();
    assert!(freed.database_bytes > 10_000 && freed.value_bytes > LARGE_BYTES as u64, "{freed:?}");
    assert_eq!(value_files(folder.path()), Vec::<std::path::PathBuf>::new());
    assert_eq!(journal.reader().unwrap().records(&run()).unwrap().len(), 5);
    journal.append(&run(), 60, vec![entry(6)]).await.unwrap();
    assert_eq!(journal.reader().unwrap().verify().unwrap().records, 6);

    // Nothing else can be deleted behind it, not even of a run of the same name.
    journal.append(&over, 70, vec![entry(1)]).await.unwrap();
    let db = Connection::open(folder.path().join("journal.db")).unwrap();
    let said = db.execute_batch("DELETE FROM records").unwrap_err().to_string();
    assert!(said.contains("append-only"), "{said}");
}

/// A run that stopped for an operator, or was taken up again after that, is not over.
#[tokio::test]
async fn a_run_that_can_be_resumed_is_not_over() {
    use longhaul_saga::event::{Controller, RunResumed};
    let folder = tempfile::tempdir().unwrap();
    let journal = filled(folder.path()).await;
    let status = || journal.reader().unwrap().standing(&run()).unwrap().status;
    journal.append(&run(), 40, vec![end(Status::NeedsOperator), entry(1)]).await.unwrap();
    assert_eq!(status(), Status::NeedsOperator);
    assert!(matches!(journal.delete(&run(), 50, "").await, Err(Error::NotOver { .. })));
    let controller = Controller { host: "h".into(), pid: 1, generation: 2 };
    journal
        .append(&run(), 60, vec![Entry::Event(Event::RunResumed(RunResumed { controller }))])
        .await
        .unwrap();
    assert_eq!(status(), Status::Running);
}

/// A database of something else is refused as such and left as it is.
#[test]
fn a_foreign_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let theirs = "CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1); PRAGMA user_version = 1;";
    Connection::open(&path).unwrap().execute_batch(theirs).unwrap();
    let before = std::fs::read(&path).unwrap();
    let refused = Journal::open(folder.path(), 1).unwrap_err();
    assert!(matches!(refused, Error::Foreign { .. }), "{refused}");
    assert!(matches!(Reader::open(folder.path()), Err(Error::Foreign { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    std::fs::write(&path, "no database at all, only text that somebody put there").unwrap();
    assert!(matches!(Reader::open(folder.path()), Err(Error::Database { .. })));
}

/// A journal from before journals bore an application id is read as it is; a controller adds what it lacks, and changes no record.
#[tokio::test]
async fn the_first_journals_are_read() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path()).await);
    let path = folder.path().join("journal.db");
    let age = "DROP TABLE states; DROP INDEX recordings_of_run; DROP TRIGGER records_remain; DROP TABLE deleted;
        CREATE TRIGGER records_remain BEFORE DELETE ON records BEGIN SELECT RAISE(ABORT, 'records are append-only'); END;
        PRAGMA application_id = 0; PRAGMA journal_mode = DELETE;";
    Connection::open(&path).unwrap().execute_batch(age).unwrap();
    let aged = std::fs::read(&path).unwrap();
    let reader = Reader::open(folder.path()).unwrap();
    let bundle = reader.bundle(&run()).unwrap();
    assert_eq!((bundle.records.len(), reader.verify().unwrap().records), (5, 5));
    assert_eq!(reader.deleted().unwrap(), []);
    drop(reader);
    assert!(std::fs::read(&path).unwrap() == aged, "reading changed it");

    let journal = Journal::open(folder.path(), 2).unwrap();
    assert_eq!(journal.reader().unwrap().bundle(&run()).unwrap(), bundle);
    journal.append(&run(), 40, vec![end(Status::Failed)]).await.unwrap();
    journal.delete(&run(), 50, "too old").await.unwrap();
    assert_eq!(journal.reader().unwrap().deleted().unwrap().len(), 1);
}

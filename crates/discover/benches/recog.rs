//! How fast is a banner held against a whole database? Goal: one passage, whatever the number of fingerprints.
//!
//! Inputs: every example of the published databases beside the repository, each against the whole of its own database;
//! without them 500 fingerprints that the bench makes. Beside it the same by trying one fingerprint after another.
//! Recorded runs are kept in `bench/runs/`.

#![expect(clippy::unwrap_used, reason = "a bench that cannot read its input has to stop")]

use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use discover::recog::Database;

fn databases() -> Vec<Database> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/recog");
    let Ok(entries) = std::fs::read_dir(folder) else {
        return vec![made()];
    };
    let paths = entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "xml"));
    paths.map(|path| Database::parse("bench.xml", &std::fs::read_to_string(path).unwrap()).unwrap()).collect()
}

fn made() -> Database {
    let one = |n: usize| {
        format!(
            "<fingerprint pattern=\"^(?i)Product{n}x[/ ]([\\d.]+)(?: \\((\\w+)\\))?$\"><description>{n}</description>\
             <example>Product{n}x/1.{n} (Unix)</example><param pos=\"1\" name=\"service.version\"/></fingerprint>"
        )
    };
    let all: String = (0..500).map(one).collect();
    Database::parse("bench.xml", &format!("<fingerprints matches=\"a\">{all}</fingerprints>")).unwrap()
}

fn recog(c: &mut Criterion) {
    let databases = databases();
    let texts: Vec<(&Database, &str)> =
        databases.iter().flat_map(|database| database.examples().map(move |text| (database, text))).collect();
    let found = |recognise: fn(&Database, &str) -> bool| texts.iter().filter(|(db, text)| recognise(db, text)).count();
    let mut group = c.benchmark_group("recog");
    group.throughput(Throughput::Elements(texts.len() as u64)).sample_size(10);
    group.bench_function("one-passage", |b| b.iter(|| found(|db, text| db.recognise(text).found.is_some())));
    group.bench_function("one-by-one", |b| b.iter(|| found(|db, text| db.recognise_one_by_one(text).found.is_some())));
    group.finish();
}

criterion_group!(benches, recog);
criterion_main!(benches);

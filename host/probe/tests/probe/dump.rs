
use crate::support;
#[test]
fn dump() {
    for entry in std::fs::read_dir(support::path("")).unwrap() {
        let p = entry.unwrap().path();
        let len = p.metadata().unwrap().len();
        let t = std::time::Instant::now();
        let (r, n) = support::probe_counted(std::fs::File::open(&p).unwrap(), len, Default::default());
        let name = p.file_name().unwrap().to_string_lossy().into_owned();
        match r { Ok(m) => println!("{name}: {} | {m:?} read {n}/{len} {:?}", m.describe(), t.elapsed()), Err(e) => println!("{name}: REFUSED {e} | read {n}/{len}") }
    }
}

//! Kills a Campanile server.
mod disk;
mod checker;
mod entry;
mod faulty;
mod plan;

fn main() {
    let (sender, fired) = std::sync::mpsc::channel();
    std::fs::create_dir_all("/tmp/cfuse").unwrap();
    let mut m = faulty::Mounted::new(disk::Disk::new(1), std::path::Path::new("/tmp/cfuse"), sender).unwrap();
    std::fs::write("/tmp/cfuse/a", b"hello").unwrap();
    let f = std::fs::File::create("/tmp/cfuse/b").unwrap();
    f.try_lock().unwrap();
    use std::os::unix::fs::FileExt;
    f.write_all_at(b"synced", 0).unwrap();
    f.sync_all().unwrap();
    std::fs::File::open("/tmp/cfuse").unwrap().sync_all().unwrap();
    drop(f);
    println!("{:?}", std::fs::read_dir("/tmp/cfuse").unwrap().collect::<Vec<_>>());
    m.cut_power();
    println!("{:?}", std::fs::write("/tmp/cfuse/c", b"x"));
    m.power_up().unwrap();
    println!("{:?} {:?} {:?}", std::fs::read_dir("/tmp/cfuse").unwrap().collect::<Vec<_>>(), std::fs::read("/tmp/cfuse/b"), std::fs::read("/tmp/cfuse/a"));
    println!("{:?}", fired.try_iter().collect::<Vec<_>>());
}

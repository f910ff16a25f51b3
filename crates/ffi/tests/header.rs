//! The committed header is what the code says.

#[test]
fn the_header_is_made_from_the_code() {
    let root = env!("CARGO_MANIFEST_DIR");
    let sources = ["door", "memory", "outcome"].map(|name| format!("{root}/src/{name}.rs"));
    let config = cbindgen::Config::from_file(format!("{root}/cbindgen.toml")).unwrap();
    let builder = sources.iter().fold(cbindgen::Builder::new(), cbindgen::Builder::with_src);
    let mut made = Vec::new();
    builder.with_config(config).generate().unwrap().write(&mut made);
    let path = format!("{root}/include/zmon.h");
    let committed = std::fs::read(&path).unwrap_or_default();
    if made != committed {
        let wanted = format!("{}/zmon.h", env!("CARGO_TARGET_TMPDIR"));
        std::fs::write(&wanted, &made).unwrap();
        panic!("{path} is not what src/door.rs says; take {wanted}");
    }
}

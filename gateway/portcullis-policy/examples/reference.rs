//! Prints the reference page of rules files, or with `schema` their JSON Schema.
//!
//! ```sh
//! cargo run -p portcullis-policy --example reference > rules/REFERENCE.md
//! cargo run -p portcullis-policy --example reference -- schema > rules/schema.json
//! ```

fn main() {
    if std::env::args().nth(1).as_deref() == Some("schema") {
        println!("{:#}", portcullis_policy::schema());
    } else {
        print!("{}", portcullis_policy::reference());
    }
}

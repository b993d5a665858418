//! `ets-pages FOLDER`: writes manual pages to FOLDER/man and completions to
//! FOLDER/{bash,zsh,fish}, from the definitions that the programs parse with.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(folder), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: ets-pages FOLDER");
        return ExitCode::from(2);
    };
    match write(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ets-pages: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path) -> io::Result<()> {
    let man = folder.join("man");
    fs::create_dir_all(&man)?;
    for mut command in [ets::command(), ets_http::config::Config::command()] {
        let name = command.get_name().to_owned();
        clap_mangen::generate_to(command.clone(), &man)?;
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let completions = folder.join(shell.to_string());
            fs::create_dir_all(&completions)?;
            clap_complete::generate_to(shell, &mut command, &name, &completions)?;
        }
    }
    Ok(())
}

//! What was acknowledged is on the disk: kills, full disks, broken disks, older stores, backups.

mod backups;
mod broken_disk;
mod clients;
mod full_disk;
mod kills;
mod known;
mod older_stores;
mod orders;

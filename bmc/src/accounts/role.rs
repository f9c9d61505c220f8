//! Roles: DMTF's three, which none may change, and those that somebody made.

use onprem_redfish::privilege::{self, Privilege, Privileges};
use serde::{Deserialize, Serialize};

use super::{Accounts, Book, ChangeError, is_name};

/// How many roles may be made.
pub const ROLES: usize = 32;
/// All there is.
pub const ADMINISTRATOR: &str = "Administrator";
/// Reads.
pub const READ_ONLY: &str = "ReadOnly";

/// The roles that every Redfish service has (DSP0266, 13.3).
const PREDEFINED: [&str; 3] = [ADMINISTRATOR, "Operator", READ_ONLY];

/// A role.
#[derive(Debug, Clone)]
pub struct Role {
    /// The Redfish id.
    pub id: String,
    /// What who has it may do.
    pub privileges: Privileges,
    /// It is one of DMTF's.
    pub predefined: bool,
}

/// A role that somebody made, as stored: the names of its privileges.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct MadeRole {
    privileges: Vec<String>,
}

impl MadeRole {
    fn new(privileges: Privileges) -> Self {
        let names = privileges.iter().map(|it| it.name().to_owned());
        Self { privileges: names.collect() }
    }

    fn privileges(&self) -> Privileges {
        let known = self.privileges.iter();
        let known: Vec<_> =
            known.filter_map(|name| Privilege::named(name)).collect();
        Privileges::of(&known)
    }
}

/// The predefined role with this id.
#[must_use]
pub fn predefined(id: &str) -> Option<Role> {
    let privileges = privilege::of_role(id)?;
    Some(Role { id: id.to_owned(), privileges, predefined: true })
}

impl Book {
    /// The role with this id.
    #[must_use]
    pub fn role(&self, id: &str) -> Option<Role> {
        predefined(id).or_else(|| {
            let privileges = self.roles.get(id)?.privileges();
            Some(Role { id: id.to_owned(), privileges, predefined: false })
        })
    }

    /// The ids of all roles, the predefined ones first.
    pub fn role_ids(&self) -> impl Iterator<Item = &str> {
        let made = self.roles.keys().map(String::as_str);
        PREDEFINED.into_iter().chain(made)
    }

    /// What who has the role `id` may do; nothing, if there is none.
    #[must_use]
    pub fn privileges(&self, id: &str) -> Privileges {
        self.role(id).map(|role| role.privileges).unwrap_or_default()
    }
}

impl Accounts {
    /// Makes the role `id`.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn create_role(
        &self,
        id: &str,
        privileges: Privileges,
    ) -> Result<(), ChangeError> {
        if !is_name(id) {
            return Err(ChangeError::RoleName(id.to_owned()));
        }
        self.store(|book| {
            // Names that differ in case alone are mistaken for each other.
            if book.role_ids().any(|it| it.eq_ignore_ascii_case(id)) {
                return Err(ChangeError::RoleExists(id.to_owned()));
            }
            if book.roles.len() >= ROLES {
                return Err(ChangeError::Full);
            }
            book.roles.insert(id.to_owned(), MadeRole::new(privileges));
            Ok(())
        })
        .await
    }

    /// Changes what the role `id` may do. It counts at once.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn change_role(
        &self,
        id: &str,
        privileges: Privileges,
    ) -> Result<(), ChangeError> {
        self.store(|book| {
            let role = made(book, id)?;
            *role = MadeRole::new(privileges);
            Ok(())
        })
        .await
    }

    /// Deletes the role `id`, if no account has it.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn delete_role(&self, id: &str) -> Result<(), ChangeError> {
        self.store(|book| {
            made(book, id)?;
            if book.accounts.values().any(|it| it.role == id) {
                return Err(ChangeError::RoleInUse(id.to_owned()));
            }
            book.roles.remove(id);
            Ok(())
        })
        .await
    }
}

/// The role `id`, if somebody made it.
fn made<'b>(
    book: &'b mut Book,
    id: &str,
) -> Result<&'b mut MadeRole, ChangeError> {
    if PREDEFINED.contains(&id) {
        return Err(ChangeError::Predefined(id.to_owned()));
    }
    let unknown = || ChangeError::UnknownRole(id.to_owned());
    book.roles.get_mut(id).ok_or_else(unknown)
}

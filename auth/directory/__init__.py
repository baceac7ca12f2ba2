"""Follow the company's directory: SCIM, LDAP and OpenID Connect, their syncs, and the claims of new people's keys."""

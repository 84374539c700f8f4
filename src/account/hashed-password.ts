declare const hashed: unique symbol;

/** A password hash in PHC form, made by `PasswordService.hash`. A plain string does not pass for one. */
export type HashedPassword = { readonly [hashed]: true; readonly phc: string };

import type { SignInInput } from 'nest-auth-identity';
import type { Acceptance, NewUser, UserChange } from './portal-user.service.js';
import { Fields } from './request-fields.js';

const LOGIN = ['email', 'phone', 'phoneCountryCode'] as const;
const PROFILE = ['displayName', 'dateOfBirth', 'locale'] as const;
const ACCOUNT = ['password', 'roleIds', 'invite'] as const;

/** For whom, nobody asks: a member is made in the tenant of the session, an administrator in none. */
export function readNewUser(body: unknown): NewUser {
  return read(body, [...LOGIN, ...PROFILE, ...ACCOUNT], newUser);
}

export function readUserChange(body: unknown): UserChange {
  return read(body, [...LOGIN, ...PROFILE], (fields) => ({
    ...fields.optional('displayName', () => fields.text('displayName')),
    ...fields.optional('locale', () => fields.text('locale')),
    ...loginAndBirth(fields),
  }));
}

export function readSignIn(body: unknown): SignInInput {
  return read(body, ['email', 'phone', 'password', 'tenantId'], (fields) => ({
    ...fields.optional('email', () => fields.text('email')),
    ...fields.optional('phone', () => fields.text('phone')),
    ...fields.optional('tenantId', () => fields.text('tenantId')),
    password: fields.text('password'),
  }));
}

export function readRefreshToken(body: unknown): string {
  return read(body, ['refreshToken'], (fields) => fields.text('refreshToken'));
}

export function readSwitch(body: unknown): { refreshToken: string; tenantId: string } {
  return read(body, ['refreshToken', 'tenantId'], (fields) => ({
    refreshToken: fields.text('refreshToken'),
    tenantId: fields.text('tenantId'),
  }));
}

/** To which tenant, the session says. */
export function readInvitation(body: unknown): { email: string; roleIds?: string[] } {
  return read(body, ['email', 'roleIds'], (fields) => ({
    email: fields.text('email'),
    ...fields.optional('roleIds', () => fields.texts('roleIds')),
  }));
}

/** What somebody is invited to, and with which email, is not asked: the token says it. */
export function readAcceptance(body: unknown): Acceptance {
  return read(body, ['token', 'password', ...PROFILE], (fields) => ({
    token: fields.text('token'),
    displayName: fields.text('displayName'),
    ...fields.optional('password', () => fields.text('password')),
    ...fields.optional('locale', () => fields.text('locale')),
    ...fields.optional('dateOfBirth', () => fields.dateOrNull('dateOfBirth')),
  }));
}

export function readToken(body: unknown): string {
  return read(body, ['token'], (fields) => fields.text('token'));
}

export function readForgotten(body: unknown): { email: string } {
  return read(body, ['email'], (fields) => ({ email: fields.text('email') }));
}

export function readReset(body: unknown): { token: string; password: string } {
  return read(body, ['token', 'password'], (fields) => ({
    token: fields.text('token'),
    password: fields.text('password'),
  }));
}

export function readPasswordChange(body: unknown): { currentPassword: string; newPassword: string } {
  return read(body, ['currentPassword', 'newPassword'], (fields) => ({
    currentPassword: fields.text('currentPassword'),
    newPassword: fields.text('newPassword'),
  }));
}

/** `code` or `recoveryCode` of whoever has a second factor; the package says so. */
export function readEmailChange(body: unknown): {
  email: string;
  currentPassword: string;
  code?: string;
  recoveryCode?: string;
} {
  return read(body, ['email', 'currentPassword', 'code', 'recoveryCode'], (fields) => ({
    email: fields.text('email'),
    currentPassword: fields.text('currentPassword'),
    ...secondFactorOf(fields),
  }));
}

export function readCurrentPassword(body: unknown): string {
  return read(body, ['currentPassword'], (fields) => fields.text('currentPassword'));
}

export function readCode(body: unknown): string {
  return read(body, ['code'], (fields) => fields.text('code'));
}

/** One of `code` and `recoveryCode`; the package says so. */
export function readSecondStep(body: unknown): { challengeToken: string; code?: string; recoveryCode?: string } {
  return read(body, ['challengeToken', 'code', 'recoveryCode'], (fields) => ({
    challengeToken: fields.text('challengeToken'),
    ...secondFactorOf(fields),
  }));
}

function secondFactorOf(fields: Fields): { code?: string; recoveryCode?: string } {
  return {
    ...fields.optional('code', () => fields.text('code')),
    ...fields.optional('recoveryCode', () => fields.text('recoveryCode')),
  };
}

export function readApiKey(body: unknown): { name: string; scopes: string[] } {
  return read(body, ['name', 'scopes'], (fields) => ({ name: fields.text('name'), scopes: fields.texts('scopes') }));
}

function read<T>(body: unknown, known: readonly string[], take: (fields: Fields) => T): T {
  const fields = new Fields(body, known);
  const input = take(fields);
  fields.refuse();
  return input;
}

function newUser(fields: Fields): NewUser {
  return {
    displayName: fields.text('displayName'),
    ...fields.optional('locale', () => fields.text('locale')),
    ...fields.optional('password', () => fields.text('password')),
    ...fields.optional('roleIds', () => fields.texts('roleIds')),
    ...fields.optional('invite', () => fields.flag('invite')),
    ...loginAndBirth(fields),
  };
}

function loginAndBirth(fields: Fields) {
  return {
    ...fields.optional('email', () => fields.textOrNull('email')),
    ...fields.optional('phone', () => fields.textOrNull('phone')),
    ...fields.optional('phoneCountryCode', () => fields.textOrNull('phoneCountryCode')),
    ...fields.optional('dateOfBirth', () => fields.dateOrNull('dateOfBirth')),
  };
}

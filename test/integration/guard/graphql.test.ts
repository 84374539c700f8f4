import { ApolloDriver, type ApolloDriverConfig } from '@nestjs/apollo';
import { UseGuards } from '@nestjs/common';
import { Field, GraphQLModule, ID, Mutation, ObjectType, Parent, Query, ResolveField, Resolver } from '@nestjs/graphql';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import {
  AccessGrants,
  AuthService,
  type AuthPrincipal,
  CurrentAccess,
  CurrentTenant,
  CurrentUser,
  IdentityContext,
  isNestAuthError,
  Permissions,
  PlatformOnly,
  Public,
  Roles,
  ServiceGuard,
  SessionService,
  UserService,
} from '../../../src/index.js';
import { unique } from './fixture.js';
import { query as sql } from '../session/fixture.js';
import { appOn, type Guarded, send, signInAs, signInOnPlatform, startGuarded } from './fixture.js';

let entered: string[] = [];
function ran(what: string): string {
  entered.push(what);
  return what;
}

@ObjectType()
class Invoice {
  @Field(() => ID)
  id!: string;

  @Field(() => String)
  amount!: string;

  @Field(() => String)
  readBy!: string;
}

@Resolver(() => Invoice)
class InvoiceResolver {
  constructor(
    private readonly sessions: SessionService,
    private readonly users: UserService,
  ) {}

  @Public()
  @Query(() => String)
  open(@CurrentUser({ optional: true }) user: AuthPrincipal | null): string {
    return ran(`open to ${user === null ? 'all' : 'somebody'}`);
  }

  @Public()
  @Mutation(() => String)
  openToo(@CurrentUser({ optional: true }) user: AuthPrincipal | null): string {
    return ran(`open to ${user === null ? 'all' : 'somebody'}`);
  }

  @Query(() => String)
  me(@CurrentUser() user: AuthPrincipal, @CurrentTenant() tenantId: string): string {
    const { actor, sessionId, tenantId: context } = IdentityContext.current;
    const agrees = actor?.id === user.userId && sessionId === user.sessionId && context === tenantId;
    return ran(`${user.userId} ${tenantId} ${String(agrees)}`);
  }

  @Permissions('invoices.read')
  @Query(() => Invoice)
  invoice(): Invoice {
    ran('invoice');
    return { id: '1' } as Invoice;
  }

  @Permissions('invoices.pay')
  @Mutation(() => String)
  pay(@CurrentAccess() access: AccessGrants): string {
    return ran(`pay ${String(access.can('invoices.pay'))}`);
  }

  @Roles('manager')
  @Mutation(() => String)
  async rename(@CurrentUser() { userId }: AuthPrincipal): Promise<string> {
    await this.users.updateUserMetadata(userId, { name: unique() });
    return ran('rename');
  }

  @Mutation(() => Boolean)
  async signOutEverywhere(@CurrentUser() { userId }: AuthPrincipal): Promise<boolean> {
    return (await this.sessions.revokeAllSessions(userId)) > 0;
  }

  @PlatformOnly()
  @Query(() => String)
  platform(): string {
    return ran('platform');
  }

  @PlatformOnly()
  @Query(() => String)
  async platformTenant(@CurrentTenant({ optional: true }) tenantId: string | null): Promise<string> {
    return String(tenantId ?? IdentityContext.current.tenantId ?? null);
  }

  @UseGuards(ServiceGuard)
  @Query(() => String)
  service(): string {
    return ran('service');
  }

  @Permissions('reports.read')
  @ResolveField(() => String)
  amount(@Parent() invoice: Invoice): string {
    return ran(`amount of ${invoice.id}`);
  }

  @ResolveField(() => String)
  readBy(@CurrentUser() { userId }: AuthPrincipal): string {
    return userId;
  }
}

/** Without guards for fields. */
@Resolver(() => Invoice)
class PlainFieldResolver {
  @Query(() => Invoice)
  invoice(): Invoice {
    return { id: '1', amount: '1' } as Invoice;
  }

  @ResolveField(() => String)
  readBy(@CurrentUser() { userId }: AuthPrincipal): string {
    return userId;
  }
}

const schema = (more: Partial<ApolloDriverConfig> = {}) =>
  GraphQLModule.forRoot<ApolloDriverConfig>({
    driver: ApolloDriver,
    autoSchemaFile: true,
    allowBatchedHttpRequests: true,
    ...more,
  });
const GUARDED_FIELDS = schema({ fieldResolverEnhancers: ['guards', 'interceptors'] });
const SERVICES = { guard: { services: [{ name: 'billing', secretHashes: ['0'.repeat(64)] }] } };

let guarded: Guarded;
beforeAll(async () => {
  guarded = await startGuarded({
    guardAllRoutes: true,
    imports: [GUARDED_FIELDS],
    providers: [InvoiceResolver],
    auth: SERVICES,
  });
});
afterAll(() => guarded.close());
afterEach(() => {
  entered = [];
});

interface Result {
  readonly data: Record<string, unknown> | null;
  readonly codes: readonly unknown[];
  /** The fields with an error. */
  readonly paths: readonly string[];
}

interface GraphQLAnswer {
  readonly data?: Record<string, unknown> | null;
  readonly errors?: readonly {
    readonly path?: readonly string[];
    readonly extensions?: { readonly code?: unknown; readonly originalError?: { readonly code?: unknown } };
  }[];
}

async function ask(query: string, token?: string, at: Pick<Guarded, 'app'> = guarded): Promise<Result> {
  const { body } = await send(at, '/graphql', {
    method: 'POST',
    body: { query },
    ...(token === undefined ? {} : { token }),
  });
  return read(body as GraphQLAnswer);
}

function read({ data, errors = [] }: GraphQLAnswer): Result {
  return {
    data: data ?? null,
    codes: errors.map(({ extensions }) => extensions?.originalError?.code ?? extensions?.code),
    paths: errors.map(({ path }) => (path ?? []).join('.')),
  };
}

describe('guards over GraphQL', () => {
  it('let in whoever is signed in, and everybody where it is public', async () => {
    expect(await ask('{ me }')).toMatchObject({ data: null, codes: ['UNAUTHENTICATED'] });
    expect((await ask('{ open }')).data).toEqual({ open: 'open to all' });
    const { accessToken, userId, tenantId } = await signInAs(guarded, []);
    expect((await ask('{ me }', accessToken)).data).toEqual({ me: `${userId} ${String(tenantId)} true` });
    expect(await ask('{ me }', 'a.b.c')).toMatchObject({ data: null, codes: ['ACCESS_TOKEN_INVALID'] });
  });

  it('enforce what decorators ask for, on the platform and for services too', async () => {
    const clerk = await signInAs(guarded, [guarded.names.clerk]);
    const manager = await signInAs(guarded, [guarded.names.manager]);
    const operator = await signInOnPlatform(guarded, [guarded.names.operator]);
    const pay = 'mutation { pay }';
    expect((await ask(pay, clerk.accessToken)).codes).toEqual(['PERMISSION_DENIED']);
    expect((await ask(pay, manager.accessToken)).data).toEqual({ pay: 'pay true' });
    expect((await ask('{ platform }', manager.accessToken)).codes).toEqual(['PERMISSION_DENIED']);
    expect((await ask('{ platform }', operator.accessToken)).data).toEqual({ platform: 'platform' });
    expect((await ask('{ service }', manager.accessToken)).codes).toEqual(['ACCESS_TOKEN_INVALID']);
    expect(entered).toEqual(['pay true', 'platform']);
  });

  it('judge a field by itself, and tell it who reads', async () => {
    const [clerk, manager] = [
      await signInAs(guarded, [guarded.names.clerk]),
      await signInAs(guarded, [guarded.names.manager]),
    ];
    expect((await ask('{ invoice { id readBy } }', clerk.accessToken)).data).toEqual({
      invoice: { id: '1', readBy: clerk.userId },
    });
    expect(await ask('{ invoice { id amount } }', clerk.accessToken)).toMatchObject({ paths: ['invoice.amount'] });
    expect((await ask('{ invoice { amount } }', manager.accessToken)).data).toEqual({
      invoice: { amount: 'amount of 1' },
    });
  });

  it('let the activity tell who has done it', async () => {
    const { accessToken, userId, sessionId } = await signInAs(guarded, [guarded.names.manager]);
    await ask('mutation { rename }', accessToken);
    const rows = await sql(
      guarded.url,
      `select actor_id, tenant_id, details->>'actorSessionId' as session from nest_auth_activities
         where user_id = $1 and type = 'nest_auth.user.updated'`,
      [userId],
    );
    expect(rows).toEqual([{ actor_id: userId, tenant_id: guarded.names.tenantId, session: sessionId }]);
  });
});

describe('SEC-11 many operations in one request', () => {
  it('are judged one by one, whatever names they are given', async () => {
    const { accessToken } = await signInAs(guarded, [guarded.names.clerk]);
    const fields = Array.from({ length: 50 }, (_, index) => `p${index}: platform o${index}: open`).join(' ');
    const { codes, paths } = await ask(`{ ${fields} }`, accessToken);
    expect({ codes: new Set(codes), paths: paths.length > 0 }).toEqual({
      codes: new Set(['PERMISSION_DENIED']),
      paths: true,
    });
    expect(new Set(entered)).toEqual(new Set(['open to all']));
    const pays = Array.from({ length: 50 }, (_, index) => `p${index}: pay`).join(' ');
    expect(new Set((await ask(`mutation { ${pays} }`, accessToken)).codes)).toEqual(new Set(['PERMISSION_DENIED']));
    expect(entered).not.toContain('pay true');
  });

  it('are public or not each by itself: what one has found out is nothing to the next', async () => {
    const { accessToken } = await signInAs(guarded, [guarded.names.manager]);
    const { data } = await ask('mutation { pay openToo }', accessToken);
    expect(data).toEqual({ pay: 'pay true', openToo: 'open to all' });
  });

  it('work each where it belongs, on the platform or in the tenant, also at the same time', async () => {
    const { userId, refreshToken } = await signInOnPlatform(guarded, [guarded.names.operator]);
    const { tenantId } = guarded.names;
    await guarded.app.get(UserService).ensureUserAccess(userId, tenantId);
    const { accessToken } = await guarded.app.get(AuthService).switchTenant(refreshToken, tenantId);
    // Twice: the second time what was read is at hand, and all go on at once.
    const fields = Array.from({ length: 40 }, (_, index) => `p${index}: platformTenant m${index}: me`).join(' ');
    for (const { data } of [await ask(`{ ${fields} }`, accessToken), await ask(`{ ${fields} }`, accessToken)]) {
      const answers = Object.entries(data ?? {}).map(([name, answer]) => `${name.slice(0, 1)}: ${String(answer)}`);
      expect(new Set(answers)).toEqual(new Set(['p: null', `m: ${userId} ${tenantId} true`]));
    }
  });

  it('end with the one that ends the session', async () => {
    const { accessToken } = await signInAs(guarded, [guarded.names.manager]);
    const { codes, paths } = await ask('mutation { a: pay b: signOutEverywhere c: pay }', accessToken);
    expect({ codes, paths }).toEqual({ codes: ['ACCESS_TOKEN_INVALID'], paths: ['c'] });
    expect(entered).toEqual(['pay true']);
  });

  it('cannot hide in a fragment, in a directive, or in a batch', async () => {
    const { accessToken: token } = await signInAs(guarded, [guarded.names.clerk]);
    for (const query of [
      'fragment F on Query { x: platform } { ...F }',
      'query A { open } query B { platform }',
      '{ ... on Query @include(if: true) { platform } }',
      'query { platform @skip(if: false) }',
    ]) {
      const operationName = query.includes('query B') ? 'B' : undefined;
      const { body } = await send(guarded, '/graphql', { method: 'POST', body: { query, operationName }, token });
      expect(read(body as GraphQLAnswer).codes).toEqual(['PERMISSION_DENIED']);
    }
    const batch = ['{ open }', '{ platform }', '{ me }'].map((query) => ({ query }));
    const { body } = await send(guarded, '/graphql', { method: 'POST', body: batch, token });
    const answers = (body as GraphQLAnswer[]).map(read);
    expect(answers.map(({ codes }) => codes)).toEqual([[], ['PERMISSION_DENIED'], []]);
    expect(entered).not.toContain('platform');
  });
});

describe('fields that no guard runs for', () => {
  it('keep the application from starting when they are decorated', async () => {
    const module = await appOn(guarded.url, {
      guardAllRoutes: true,
      imports: [schema()],
      providers: [InvoiceResolver],
      auth: SERVICES,
    }).compile();
    module.useLogger(false);
    const error: unknown = await module.init().catch((thrown: unknown) => thrown);
    const paths = isNestAuthError(error, 'GUARD_MISCONFIGURED') && error.details.issues?.map(({ path }) => path);
    expect(paths).toEqual(['InvoiceResolver.amount']);
    await module.close();
  });

  it('know who is signed in by the operation above them', async () => {
    const module = await appOn(guarded.url, {
      guardAllRoutes: true,
      imports: [schema()],
      providers: [PlainFieldResolver],
    }).compile();
    const app = module.createNestApplication({ logger: false });
    await app.listen(0, '127.0.0.1');
    const { accessToken, userId } = await signInAs(guarded, []);
    const plain = { app: app as unknown as Guarded['app'] };
    expect((await ask('{ invoice { readBy } }', accessToken, plain)).data).toEqual({ invoice: { readBy: userId } });
    await app.close();
  });
});

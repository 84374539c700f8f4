import { checkMetadata, InputIssues } from '../errors/input.js';
import { PAGE_FIELDS } from '../transaction/keyset.js';
import {
  type CreateTenantInput,
  type GetTenantsOptions,
  SECOND_FACTOR_POLICIES,
  type TenantFilter,
  type UpdateTenantInput,
} from './tenant.types.js';

const CREATE_FIELDS = [
  'name',
  'slug',
  'description',
  'isActive',
  'secondFactorPolicy',
  'metadata',
] as const satisfies readonly (keyof CreateTenantInput)[];
const UPDATE_FIELDS = [...CREATE_FIELDS, 'expectedVersion'] as const satisfies readonly (keyof UpdateTenantInput)[];
const FILTER_FIELDS = ['search', 'isActive'] as const satisfies readonly (keyof TenantFilter)[];

/** As long as a label of a host name, which a slug often becomes. */
const SLUG = /^(?=.{1,63}$)[a-z0-9]+(?:-[a-z0-9]+)*$/;

const MAX_NAME_LENGTH = 200;
const MAX_DESCRIPTION_LENGTH = 2_000;
const MAX_SEARCH_LENGTH = 200;

/** Refuses what cannot be a tenant, naming every field at once. */
export function checkCreateTenant(input: CreateTenantInput): void {
  const issues = new InputIssues();
  issues.fields(input, CREATE_FIELDS);
  issues.text('name', input.name, { max: MAX_NAME_LENGTH });
  checkSlug(issues, input.slug);
  checkOptional(issues, input);
  issues.refuse('The tenant cannot be created');
}

/** Refuses what cannot be a change of a tenant. */
export function checkUpdateTenant(input: UpdateTenantInput): void {
  const issues = new InputIssues();
  issues.fields(input, UPDATE_FIELDS);
  if (input.name !== undefined) issues.text('name', input.name, { max: MAX_NAME_LENGTH });
  if (input.slug !== undefined) checkSlug(issues, input.slug);
  if (input.expectedVersion !== undefined && !Number.isSafeInteger(input.expectedVersion)) {
    issues.add('expectedVersion', 'must be a whole number');
  }
  checkOptional(issues, input);
  issues.refuse('The tenant cannot be updated');
}

/** Refuses filters that would be ignored. */
export function checkTenantFilter(filter: TenantFilter | GetTenantsOptions, paged: boolean): void {
  const issues = new InputIssues();
  issues.fields(filter, paged ? [...FILTER_FIELDS, ...PAGE_FIELDS] : FILTER_FIELDS);
  if (filter.search !== undefined) issues.text('search', filter.search, { max: MAX_SEARCH_LENGTH });
  if (filter.isActive !== undefined) issues.boolean('isActive', filter.isActive);
  issues.refuse('The tenants cannot be listed');
}

export function isSlug(value: unknown): value is string {
  return typeof value === 'string' && SLUG.test(value);
}

function checkSlug(issues: InputIssues, slug: unknown): void {
  if (!isSlug(slug)) issues.add('slug', 'must be 1 to 63 lower-case letters, digits and single hyphens between them');
}

function checkOptional(issues: InputIssues, input: UpdateTenantInput): void {
  if (input.description !== undefined && input.description !== null) {
    issues.text('description', input.description, { min: 0, max: MAX_DESCRIPTION_LENGTH });
  }
  if (input.isActive !== undefined) issues.boolean('isActive', input.isActive);
  if (input.secondFactorPolicy !== undefined && !SECOND_FACTOR_POLICIES.includes(input.secondFactorPolicy))
    issues.add('secondFactorPolicy', `must be one of ${SECOND_FACTOR_POLICIES.join(', ')}`);
  if (input.metadata !== undefined) checkMetadata(issues, 'metadata', input.metadata);
}

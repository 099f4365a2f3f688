// Words in capitals are filled in.
import http from 'k6/http';
export const options = {
  summaryTrendStats: ['p(50)', 'p(95)', 'p(99)'],
  scenarios: { load: { executor: 'constant-arrival-rate', rate: RATE, timeUnit: '1s',
    duration: 'SECONDSs', preAllocatedVUs: VUS, maxVUs: VUS, gracefulStop: '20s' } },
};
export default function () { http.get('URL/v1/feeders'); }

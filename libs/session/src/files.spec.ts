import type { ChatFile, OptionValues } from '@flexpush/contracts';
import {
  agentFile,
  agentFileDelete,
  create,
  end,
  fileDelete,
  fileDownload,
  fileLimits,
  fileUpload,
  join,
} from './testing/records';
import { given } from './testing/story';

const CF = 'client-file-transfer/';
const chat = () => given(create({ subscription: undefined }), join());

describe('files of a chat (CONTRACT 1.5)', () => {
  it('tells the limits and what is used of them in a notice without a position (sample R6)', () => {
    const story = chat()
      .when(fileUpload())
      .set({ [`${CF}upload-file-types`]: 'PNG:jpg:pdf:txt' });
    const [notice] = story.when(fileDownload(), fileLimits()).reply?.notices ?? [];
    expect(notice).toEqual({
      from: { nickname: 'system', participantId: 0, type: 'External' },
      type: 'Notice',
      text: 'file-client-cfg-get',
      utcTime: story.nowMs,
      userData: {
        'upload-max-files': '3',
        'upload-max-file-size': '2097152',
        'upload-max-total-size': '5242880',
        'upload-file-types': 'png:jpg:pdf:txt',
        'upload-need-agent': 'true',
        'used-upload-max-files': '1',
        'used-upload-max-total-size': '1000',
        'download-attempts': '10',
        'used-download-attempts': '1',
        'delete-file': 'odd',
      },
    });
    expect(story.effects).toEqual([]);
  });

  it('tells whether an agent is there, for who would upload', () => {
    const alone = given(create({ subscription: undefined }));
    expect(alone.when(fileLimits()).reply?.hasAgent).toBe(false);
    expect(chat().when(fileLimits()).reply?.hasAgent).toBe(true);
  });

  it('says that a file is there, answers with its id, and once more the same for a repeat', () => {
    const upload = fileUpload({ userData: { 'file-description': 'the bill' } });
    const story = chat().when(upload);
    expect(story.reply).toMatchObject({ outcome: 'ok', userData: { 'file-id': 'file-1' } });
    expect(story.transcript.at(-1)).toMatchObject({
      type: 'FileUploaded',
      userData: {
        'file-id': 'file-1',
        'file-name': 'bill.pdf',
        'file-size': '1000',
        'file-description': 'the bill',
      },
    });
    expect(story.when(upload).effects).toEqual([]);
    expect(story.reply).toMatchObject({ outcome: 'ok', userData: { 'file-id': 'file-1' } });
  });

  it.each<{
    name: string;
    values: OptionValues;
    before: number;
    file: Partial<ChatFile>;
    code: number;
    reason: string;
  }>([
    { name: 'a fourth file', values: {}, before: 3, file: {}, code: 201, reason: '3' },
    {
      name: 'one too large',
      values: {},
      before: 0,
      file: { sizeBytes: 2_097_153 },
      code: 202,
      reason: '2097152',
    },
    {
      name: 'one too many bytes in all',
      values: { [`${CF}upload-max-total-size`]: '2500' },
      before: 2,
      file: {},
      code: 202,
      reason: '2500',
    },
    {
      name: 'a type that is not allowed',
      values: { [`${CF}upload-file-types`]: 'png:jpg' },
      before: 0,
      file: { name: 'run.EXE' },
      code: 203,
      reason: 'png:jpg',
    },
    {
      name: 'no extension at all',
      values: { [`${CF}upload-file-types`]: 'png' },
      before: 0,
      file: { name: 'png' },
      code: 203,
      reason: 'png',
    },
  ])('refuses $name with code $code, and changes nothing', ({ values, before, file, code, reason }) => {
    const story = chat();
    for (let i = 0; i < before; i++) story.when(fileUpload({ fileId: `file-${i}` }));
    story.set(values).when(fileUpload({ fileId: 'file-x', ...file }));
    expect(story.reply).toMatchObject({ outcome: 'refused', code, reason });
    expect([story.effects, story.session?.files?.length ?? 0]).toEqual([[], before]);
  });

  it('takes any type when all are allowed', () => {
    const story = chat().set({ [`${CF}upload-file-types`]: '*' });
    expect(story.when(fileUpload({ name: 'noextension' })).reply?.outcome).toBe('ok');
  });

  it('wants an agent, unless an option says otherwise; a silent monitor is none', () => {
    const story = given(create({ subscription: undefined }), join({ silent: true }));
    expect(story.when(fileUpload()).reply).toMatchObject({ outcome: 'refused', code: 249 });
    story.set({ [`${CF}upload-need-agent`]: 'false' }).when(fileUpload());
    expect(story.reply?.outcome).toBe('ok');
  });

  it('counts what was deleted, so that deleting gives no room for more', () => {
    const story = chat()
      .set({ [`${CF}upload-max-files`]: '1' })
      .when(fileUpload(), fileDelete());
    expect(story.effects).toContain('#4 FileDeleted Mira');
    expect(story.when(fileUpload({ fileId: 'file-2' })).reply).toMatchObject({ code: 201 });
  });

  it('does not bring a deleted file back when its upload is repeated', () => {
    const upload = fileUpload();
    const story = chat().when(upload, fileDelete(), upload);
    expect([story.reply?.outcome, story.reply?.code, story.session?.files]).toEqual(['refused', 404, []]);
  });

  it('permits downloads up to their limit, also after the end of the chat', () => {
    const story = chat()
      .set({ [`${CF}download-attempts`]: '2' })
      .when(fileUpload());
    const ok = { outcome: 'ok', userData: { 'file-name': 'bill.pdf', 'file-size': '1000' } };
    expect(story.when(fileDownload()).reply).toMatchObject(ok);
    expect(story.when(end(), fileDownload()).reply).toMatchObject(ok);
    expect(story.when(fileDownload()).reply).toMatchObject({ outcome: 'refused', code: 249 });
  });

  it('lets a customer read what the agent has uploaded, but delete only own files', () => {
    const story = chat().when(agentFile());
    expect(story.when(fileDownload({ fileId: 'file-a' })).reply?.outcome).toBe('ok');
    expect(story.when(fileDelete({ fileId: 'file-a' })).reply).toMatchObject({
      outcome: 'refused',
      code: 404,
    });
    expect(story.when(agentFileDelete()).effects).toEqual(['#4 FileDeleted Jonas']);
    expect(story.when(fileDownload({ fileId: 'file-a' })).reply).toMatchObject({ code: 404 });
    expect(story.when(agentFileDelete()).refusal).toBe('unknown-file');
  });

  it('refuses a second file of one id, and one more than a chat keeps', () => {
    const story = chat().when(agentFile(), agentFile());
    expect(story.refusal).toBe('file-exists');
    for (let i = 0; i < 99; i++) story.when(agentFile({ fileId: `file-${i}` }));
    expect(story.refusal).toBeUndefined();
    expect(story.when(agentFile({ fileId: 'file-one-more' })).refusal).toBe('too-many-files');
  });
});

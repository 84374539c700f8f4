import type { CountryCode } from 'libphonenumber-js/max';

/** A name as its bearer writes it, and in the letters of an email address. */
type Name = readonly [native: string, latin: string];

export interface People {
  readonly locale: string;
  readonly region: CountryCode;
  readonly familyFirst: boolean;
  /** Between the names when the family name comes first. */
  readonly joiner: string;
  readonly given: readonly Name[];
  readonly family: readonly Name[];
}

const spelled = (names: string): Name[] =>
  names.split(', ').map((name) => {
    const [native = '', latin = native] = name.split(' = ');
    return [native, latin.normalize('NFD').replaceAll(/[^A-Za-z]/g, '')] as const;
  });

function people(locale: string, region: CountryCode, given: string, family: string, joiner?: string): People {
  return {
    locale,
    region,
    familyFirst: joiner !== undefined,
    joiner: joiner ?? ' ',
    given: spelled(given),
    family: spelled(family),
  };
}

/** Common given and family names; whoever bears a combination of them does so by chance. */
export const PEOPLE: readonly People[] = [
  people(
    'en',
    'GB',
    'Olivia, George, Amelia, Arthur, Zoë, Harry, Imogen, Rhys',
    'Smith, Patel, O’Brien, Hughes, Okafor, Ahmed, Taylor, MacDonald',
  ),
  people(
    'en',
    'NG',
    'Chidi, Ngozi, Ifeoma, Tunde, Adaeze, Segun, Amaka, Yusuf',
    'Okonkwo, Adeyemi, Balogun, Eze, Nwosu, Bello, Ogunleye, Danjuma',
  ),
  people(
    'de',
    'DE',
    'Jürgen, Anna, Käthe, Lukas, Björn, Mia, Günther, Sophie',
    'Müller, Schäfer, Weiß = Weiss, Köhler, Schmidt, Groß = Gross, Vogel, Yılmaz = Yilmaz',
  ),
  people(
    'fr',
    'FR',
    'Chloé, François, Éloïse, Jérôme, Inès, Théo, Maëlle, Noël',
    'Lefèvre, Dubois, Béranger, Moreau, Garçon, Traoré, Petit, D’Aubigné',
  ),
  people(
    'es',
    'ES',
    'Sofía, José, Begoña, Iñaki, Lucía, Andrés, Nuria, Álvaro',
    'García, Núñez, Fernández, Muñoz, Ibáñez, Peña, Romero, Güell',
  ),
  people(
    'pt',
    'BR',
    'João, Conceição, Luís, Antônia, Thaís, Caio, Marília, Davi',
    'Gonçalves, Araújo, Simões, Magalhães, Silva, Brandão, Rocha, Assunção',
  ),
  people(
    'pl',
    'PL',
    'Łukasz = Lukasz, Małgorzata = Malgorzata, Zbigniew, Agnieszka, Wojciech, Żaneta, Paweł = Pawel, Świętosława = Swietoslawa',
    'Wiśniewski, Dąbrowska, Zieliński, Wójcik, Kowalczyk, Szczęsny, Mazur, Król = Krol',
  ),
  people(
    'tr',
    'TR',
    'Ayşe, İbrahim, Çağla, Gökhan, Şebnem, Emre, Ömer, Işıl = Isil',
    'Yıldız = Yildiz, Öztürk, Çelik, Şahin, Demir, Aydın = Aydin, Güneş, Doğan',
  ),
  people(
    'is',
    'IS',
    'Þórunn = Thorunn, Björk, Guðmundur = Gudmundur, Ævar = Aevar, Sigríður = Sigridur, Jón, Halldóra, Einar',
    'Jónsdóttir, Sigurðsson = Sigurdsson, Þórsson = Thorsson, Gunnarsdóttir, Ólafsson, Kristjánsdóttir',
  ),
  people(
    'vi',
    'VN',
    'Hương, Minh, Thảo, Đức = Duc, Linh, Quân, Ngọc, Tuấn',
    'Nguyễn, Trần, Lê, Phạm, Hoàng, Đặng = Dang, Bùi, Võ',
    ' ',
  ),
  people(
    'el',
    'GR',
    'Γιώργος = Giorgos, Ελένη = Eleni, Δημήτρης = Dimitris, Μαρία = Maria, Ιωάννα = Ioanna, Νίκος = Nikos, Χρυσάνθη = Chrysanthi, Στέλιος = Stelios',
    'Παπαδόπουλος = Papadopoulos, Αλεξίου = Alexiou, Οικονόμου = Oikonomou, Βασιλείου = Vasileiou, Καραγιάννη = Karagianni, Μακρής = Makris',
  ),
  people(
    'uk',
    'UA',
    'Олена = Olena, Тарас = Taras, Оксана = Oksana, Андрій = Andrii, Софія = Sofiia, Юрій = Yurii, Леся = Lesia, Богдан = Bohdan',
    'Шевченко = Shevchenko, Коваленко = Kovalenko, Гончар = Honchar, Ткачук = Tkachuk, Мельник = Melnyk, Лисенко = Lysenko',
  ),
  people(
    'ar',
    'EG',
    'فاطمة = Fatima, أحمد = Ahmed, ليلى = Layla, عمر = Omar, مريم = Mariam, يوسف = Youssef, نور = Nour, خالد = Khaled',
    'حسن = Hassan, المصري = Elmasry, عبد الله = Abdallah, منصور = Mansour, الشريف = Elsherif, سليمان = Soliman',
  ),
  people(
    'he',
    'IL',
    'נועה = Noa, דוד = David, תמר = Tamar, יונתן = Yonatan, שירה = Shira, איתי = Itai, מיכל = Michal, אורי = Uri',
    'כהן = Cohen, לוי = Levi, מזרחי = Mizrahi, פרץ = Peretz, ביטון = Biton, שפירא = Shapira',
  ),
  people(
    'hi',
    'IN',
    'प्रिया = Priya, अर्जुन = Arjun, अनन्या = Ananya, रोहित = Rohit, दीपिका = Deepika, विक्रम = Vikram, कविता = Kavita, संजय = Sanjay',
    'शर्मा = Sharma, गुप्ता = Gupta, वर्मा = Verma, सिंह = Singh, मिश्रा = Mishra, जोशी = Joshi',
  ),
  people(
    'th',
    'TH',
    'สมชาย = Somchai, มาลี = Malee, ณัฐ = Nat, พิมพ์ = Pim, อนันต์ = Anan, ศิริ = Siri, กิตติ = Kitti, ดารา = Dara',
    'ศรีสุข = Srisuk, ใจดี = Jaidee, วงศ์ใหญ่ = Wongyai, ทองดี = Thongdee, แสงจันทร์ = Saengchan, บุญมี = Boonmee',
  ),
  people(
    'ja',
    'JP',
    '花子 = Hanako, 太郎 = Taro, さくら = Sakura, 健 = Ken, 美咲 = Misaki, 大輔 = Daisuke, 陽菜 = Hina, 翔太 = Shota',
    '佐藤 = Sato, 鈴木 = Suzuki, 高橋 = Takahashi, 田中 = Tanaka, 渡辺 = Watanabe, 山本 = Yamamoto',
    ' ',
  ),
  people(
    'zh',
    'TW',
    '美玲 = Meiling, 志明 = Zhiming, 雅婷 = Yating, 俊傑 = Junjie, 淑芬 = Shufen, 家豪 = Jiahao, 怡君 = Yijun, 冠宇 = Guanyu',
    '陳 = Chen, 林 = Lin, 黃 = Huang, 張 = Chang, 李 = Lee, 王 = Wang',
    '',
  ),
  people(
    'ko',
    'KR',
    '지우 = Jiwoo, 민준 = Minjun, 서연 = Seoyeon, 도윤 = Doyun, 하은 = Haeun, 현우 = Hyunwoo, 수빈 = Subin, 은지 = Eunji',
    '김 = Kim, 이 = Lee, 박 = Park, 최 = Choi, 정 = Jung, 강 = Kang',
    '',
  ),
];
